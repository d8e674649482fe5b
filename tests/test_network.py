"""Which device a network gets, what happens when that fails, and in which answer the user hears of it."""

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from hairmask_core.errors import Cancelled, ModelError
from hairmask_core.inference.session import available_devices
from hairmask_core.options import Device
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair
from hairmask_core.segmentation.segmenter import open_model
from hairmask_core.segmentation.sliding_window import dense_map
from hairmask_core.segmentation.whole_image import segment


@pytest.mark.parametrize("device", [device.value for device in Device])
def test_every_device_ends_in_a_model_that_runs(device):
    model = open_model(device=device)
    side = model.network.card.multiple
    assert segment(np.zeros((side, side, 3), np.float32), model.network).shape == (side, side)
    if device not in ("auto", model.device):
        assert any(device in notice and "so the" in notice for notice in model.notices)


def test_unknown_device():
    with pytest.raises(ModelError, match="There is no device 'abacus'"):
        open_model(device="abacus")


@pytest.fixture
def without_gpu(monkeypatch):
    """A CUDA build without a GPU: the provider is listed, and its library does not load."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = ort.InferenceSession

    def start(weights, options, providers):
        if providers == ["CUDAExecutionProvider"]:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nmore")
        return real(weights, options, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", start)
    return "cuda did not start (CUDA failure 100: no CUDA-capable device is detected), so the next device was used."


@pytest.mark.parametrize("engine", ["whole", "texture"])
def test_device_that_does_not_start_is_passed_over_with_a_sentence(without_gpu, engine):
    model = open_model(engine=engine)
    assert model.device == "cpu" and model.notices == [without_gpu]


def test_the_first_answer_says_that_a_device_did_not_start(without_gpu, astronaut):
    model, photo = open_model(), Photo(astronaut)
    assert find_hair(photo, model).notices == (without_gpu,)
    assert find_hair(photo, model).notices == ()


def test_an_answer_that_is_not_given_leaves_its_sentences_to_the_next(without_gpu, astronaut):
    model, photo = open_model(), Photo(astronaut)

    def stop(done, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        find_hair(photo, model, report=stop)
    assert find_hair(photo, model.adjusted("best")).notices == (without_gpu,)  # whatever its settings
    assert find_hair(photo, model).notices == ()


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


def put_on_a_card(network, most, **says):
    """Let the network run on a card of that size; returns the card."""
    session = network.in_use.session
    card = Card(session.runtime, most, **says)
    network.in_use.session = replace(session, device="cuda", runtime=card)
    return card


@pytest.fixture
def patches():
    """A patch classifier of this test's own."""
    return open_model(engine="texture", device="cpu").fine


def test_device_that_fails_later_is_left_for_the_cpu(model):
    gray = np.full((64, 64, 3), 0.5, np.float32)
    broken = open_model(device="cpu")
    put_on_a_card(broken.network, 0, says="CUDA driver was reset")
    np.testing.assert_array_equal(segment(gray, broken.network), segment(gray, model.network))
    assert broken.device == "cpu"
    assert broken.notices == ["cuda failed while running (CUDA driver was reset), so the CPU was used."]


@pytest.mark.parametrize("step", [1, 2, 16])  # dilated, strided, window by window
def test_a_card_without_enough_memory_gets_smaller_tiles(classifier, patches, astronaut, step):
    photo, notices = astronaut[:150, 150:320].astype(np.float32) / 255, []
    card, dense_card = (put_on_a_card(network, 3 * 50 * 60) for network in (patches.strided, patches.dilated))
    found = dense_map(photo, patches.telling(notices), step)
    np.testing.assert_allclose(found, dense_map(photo, classifier, step), atol=1e-5)
    used = dense_card if step == 1 else card
    assert max(used.sizes) > used.most > min(used.sizes)
    assert notices == ["cuda ran out of memory, so smaller tiles were used."]
    assert patches.strided.device == patches.dilated.device == "cuda"


@pytest.mark.parametrize("step", [1, 2, 16])
def test_a_card_without_any_memory_is_left_for_the_cpu(classifier, patches, astronaut, step):
    photo, notices = astronaut[:90, 150:240].astype(np.float32) / 255, []
    used = patches.dilated if step == 1 else patches.strided
    put_on_a_card(used, 3 * 35 * 35 - 1)
    found = dense_map(photo, patches.telling(notices), step)
    np.testing.assert_allclose(found, dense_map(photo, classifier, step), atol=1e-5)
    assert used.device == "cpu" and len(notices) == 2
    assert notices[1].startswith("cuda failed while running (Failed to allocate memory")


def test_a_whole_image_is_seen_as_a_whole_or_by_the_cpu(model, astronaut):
    photo = astronaut[:256, 128:384].astype(np.float32) / 255
    small = open_model(device="cpu")
    card = put_on_a_card(small.network, 3 * 255 * 255)
    np.testing.assert_array_equal(segment(photo, small.network), segment(photo, model.network))
    assert small.device == "cpu" and len(small.notices) == len(card.sizes) == 1


def test_a_card_that_fails_otherwise_is_not_asked_again(patches, astronaut):
    notices = []
    card = put_on_a_card(patches.dilated, 3 * 50 * 60, says="CUDA failure 719: unspecified launch failure")
    for _ in range(2):
        dense_map(astronaut[:90, 150:240].astype(np.float32) / 255, patches.telling(notices), 1)
    assert len(card.sizes) == 1 and patches.dilated.device == "cpu"
    assert len(notices) == 1 and "failure 719" in notices[0]


@pytest.mark.parametrize("part", ["network", "matting"])
def test_a_failing_device_is_told_in_the_answer_in_which_it_failed(model, astronaut, part):
    photo, broken = Photo(astronaut), open_model(quality="best", device="cpu")
    fine = find_hair(photo, broken)
    card = put_on_a_card(getattr(broken, part), 0, says="CUDA driver was reset")
    hair = find_hair(photo, broken)
    assert hair.notices == ("cuda failed while running (CUDA driver was reset), so the CPU was used.",)
    np.testing.assert_array_equal(hair.matte, fine.matte)
    assert fine.notices == find_hair(photo, broken).notices == () and len(card.sizes) == 1


def test_no_memory_at_all_is_said_as_that():
    small = open_model(device="cpu").network
    put_on_a_card(small, 10)
    small.in_use.session = replace(small.in_use.session, device="cpu")
    with pytest.raises(MemoryError, match="Failed to allocate"):
        segment(np.zeros((64, 64, 3), np.float32), small)


def test_available_devices_end_with_the_cpu():
    assert available_devices()[-1] == "cpu"
