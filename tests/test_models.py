"""Model cards, integrity, and the choice of the device."""

import json
import shutil
from operator import attrgetter

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from hairmask_core.errors import ModelError
from hairmask_core.inference.cards import choose_card, find_cards, models_folder, read_weights
from hairmask_core.inference.session import DEVICES, available_devices, open_session
from hairmask_core.segmentation.sliding_window import dense_map
from hairmask_core.segmentation.whole_image import segment


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    """A copy of the models folder that a test may damage."""
    folder = tmp_path / "models"
    folder.mkdir()
    for pattern in ("*.onnx", "*.json"):
        for path in models_folder().glob(pattern):
            shutil.copy(path, folder)
    monkeypatch.setenv("HAIRMASK_MODELS", str(folder))
    return folder


def test_there_is_one_default_model_and_it_is_intact():
    cards = find_cards()
    assert [card.default for card in cards].count(True) == 1
    for card in cards:
        assert len(read_weights(card)) == card.path.stat().st_size <= 16e6
        assert card.details["terms"] and card.details["training_data"]


def test_missing_model_file(own_models):
    choose_card().path.unlink()
    with pytest.raises(ModelError, match="missing or unreadable: reinstall with: python3 install.py"):
        open_session(choose_card())


def test_altered_model_file(own_models):
    data = bytearray(choose_card().path.read_bytes())
    data[len(data) // 2] ^= 1
    choose_card().path.write_bytes(data)
    with pytest.raises(ModelError, match="was altered or damaged"):
        open_session(choose_card())


def test_no_model_for_an_engine(own_models):
    with pytest.raises(ModelError, match="There is no engine 'steam'"):
        choose_card(engine="steam")
    for card in find_cards():
        card.path.with_suffix(".json").write_text(card.path.with_suffix(".json").read_text().replace("whole-", "no-"))
    with pytest.raises(ModelError, match="No model for the engine whole"):
        choose_card()


@pytest.mark.parametrize("which", ["", "dense", "coarser", "coarser.dense", "pixels"])
def test_a_patch_classifier_needs_all_its_graphs(own_models, which):
    card = choose_card(engine="texture")
    part = attrgetter(which)(card) if which else card
    part.path.write_bytes(part.path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="altered or damaged"):
        open_session(card)


def test_a_patch_classifiers_card_says_what_a_dense_map_needs(classifier):
    card = classifier.card
    assert card.task == card.dense.task == "patch" and card.window == 35 and card.dense.dense is None
    assert card.coarser.long_side < card.long_side and card.coarser.dense.path != card.dense.path
    assert card.pixels.task == "pixel" and card.coarser.coarser is card.coarser.pixels is card.pixels.dense is None
    assert card.multiplications["window"] > 50 * card.multiplications["dilated"]
    assert card.multiplications["dilated"] > card.multiplications["strided"]
    assert choose_card().dense is None


def test_the_network_that_refines_is_another_card(own_models, session):
    card = choose_card()
    assert (
        card.matting.name == card.details["matting"] and card.matting.task == "matting" and card.matting.matting is None
    )
    assert session.matting.card == choose_card(folder=session.card.path.parent).matting
    free = next(card for card in find_cards() if card.name.endswith("-free"))
    assert free.matting is None and open_session(free, "cpu").matting is None
    card.matting.path.write_bytes(card.matting.path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="altered or damaged"):
        open_session(card, "cpu")
    (own_models / f"{card.matting.name}.json").unlink()
    with pytest.raises(ModelError, match="cannot be used"):
        choose_card()


def test_damaged_card(own_models):
    (own_models / "broken.json").write_text("{}")
    with pytest.raises(ModelError, match="broken.json cannot be used"):
        find_cards()


def test_no_models_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("HAIRMASK_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match="No model card"):
        find_cards()


def test_unknown_model_name():
    with pytest.raises(ModelError, match="The engine whole has no model 'x'"):
        choose_card("x")


def test_file_that_is_no_model_but_matches_its_card(own_models):
    import hashlib

    card = choose_card()
    card.path.write_bytes(b"not onnx")
    path = card.path.with_suffix(".json")
    details = json.loads(path.read_text())
    details["sha256"] = hashlib.sha256(b"not onnx").hexdigest()
    path.write_text(json.dumps(details))
    with pytest.raises(ModelError, match="does not run on this machine"):
        open_session(choose_card())


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_ends_in_a_session_that_runs(device):
    session = open_session(choose_card(), device)
    side = session.card.multiple
    assert segment(np.zeros((side, side, 3), np.float32), session).shape == (side, side)
    if device not in ("auto", session.device):
        assert any(device in notice and "so the" in notice for notice in session.notices)


def test_unknown_device():
    with pytest.raises(ModelError, match="There is no device 'abacus'"):
        open_session(choose_card(), "abacus")


def test_device_that_does_not_start_is_passed_over_with_a_sentence(monkeypatch):
    """A CUDA build without a GPU: the provider is listed, and its library does not load."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = ort.InferenceSession

    def without_gpu(weights, options, providers):
        if providers == ["CUDAExecutionProvider"]:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nmore")
        return real(weights, options, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", without_gpu)
    session = open_session(choose_card(), "auto")
    assert session.device == "cpu"
    assert session.notices == [
        "cuda did not start (CUDA failure 100: no CUDA-capable device is detected), so the next device was used."
    ]


def test_device_that_fails_later_is_left_for_the_cpu():
    session = open_session(choose_card(), "cpu")
    expected = segment(np.full((64, 64, 3), 0.5, np.float32), session)

    class OutOfMemory:
        def get_inputs(self):
            return session.runtime.get_inputs()

        def run(self, *_):
            raise RuntimeError("CUDA out of memory")

    broken = open_session(choose_card(), "cpu")
    broken.runtime, broken.device = OutOfMemory(), "cuda"
    np.testing.assert_array_equal(segment(np.full((64, 64, 3), 0.5, np.float32), broken), expected)
    assert broken.device == "cpu" and "CUDA out of memory" in broken.notices[0]


class Card:
    """A graphics card: ONNX Runtime's own session, which fails on inputs of more than so many numbers."""

    def __init__(self, runtime, most, says="Failed to allocate memory for requested buffer of size 4294967296"):
        self.runtime, self.most, self.says, self.sizes = runtime, most, says, []

    def get_inputs(self):
        return self.runtime.get_inputs()

    def run(self, names, inputs):
        (x,) = inputs.values()
        self.sizes.append(x.size)
        if x.size > self.most:
            raise RuntimeException(self.says)
        return self.runtime.run(names, inputs)


def on_a_card(card, most, **says):
    """A session whose networks, all of them, run on a card of that size."""
    session = open_session(card, "cpu")
    for one in (session, session.dense):
        if one:
            one.runtime, one.device = Card(one.runtime, most, **says), "cuda"
    return session


@pytest.mark.parametrize("step", [1, 2, 16])  # dilated, strided, window by window
def test_a_card_without_enough_memory_gets_smaller_tiles(classifier, astronaut, step):
    photo = astronaut[:150, 150:320].astype(np.float32) / 255
    session = on_a_card(classifier.card, 3 * 50 * 60)
    np.testing.assert_allclose(dense_map(photo, session, step), dense_map(photo, classifier, step), atol=1e-5)
    card = (session.dense if step == 1 else session).runtime
    assert max(card.sizes) > card.most > min(card.sizes)
    assert session.notices == ["cuda ran out of memory, so smaller tiles were used."]
    assert session.device == session.dense.device == "cuda"


@pytest.mark.parametrize("step", [1, 2, 16])
def test_a_card_without_any_memory_is_left_for_the_cpu(classifier, astronaut, step):
    photo = astronaut[:90, 150:240].astype(np.float32) / 255
    session = on_a_card(classifier.card, 3 * 35 * 35 - 1)
    np.testing.assert_allclose(dense_map(photo, session, step), dense_map(photo, classifier, step), atol=1e-5)
    used = session.dense if step == 1 else session
    assert used.device == "cpu" and len(session.notices) == 2
    assert session.notices[1].startswith("cuda failed while running (Failed to allocate memory")


def test_a_whole_image_is_seen_as_a_whole_or_by_the_cpu(session, astronaut):
    photo = astronaut[:256, 128:384].astype(np.float32) / 255
    small = on_a_card(session.card, 3 * 255 * 255)
    np.testing.assert_array_equal(segment(photo, small), segment(photo, session))
    assert small.device == "cpu" and len(small.notices) == 1


def test_a_card_that_fails_otherwise_is_not_asked_again(classifier, astronaut):
    session = on_a_card(classifier.card, 3 * 50 * 60, says="CUDA failure 719: unspecified launch failure")
    card = session.dense.runtime
    dense_map(astronaut[:90, 150:240].astype(np.float32) / 255, session, 1)
    assert len(card.sizes) == 1 and session.dense.device == "cpu" and "failure 719" in session.notices[0]


def test_no_memory_at_all_is_said_as_that(session):
    small = on_a_card(session.card, 10)
    small.device = "cpu"
    with pytest.raises(MemoryError, match="Failed to allocate"):
        segment(np.zeros((64, 64, 3), np.float32), small)


def test_available_devices_end_with_the_cpu():
    assert available_devices()[-1] == "cpu"
