"""Model cards, what they say, and the integrity of the files that they name."""

import hashlib
import json
import shutil
from operator import attrgetter

import pytest

from hairmask_core.errors import ModelError, NoSuchModelError
from hairmask_core.inference.cards import WholeImageCard, choose_card, find_cards, models_folder, read_weights
from hairmask_core.segmentation.segmenter import open_model, open_segmenter


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
        assert card.details["terms"] and card.details["training_data"]
        for network in card.networks:
            assert len(read_weights(network)) == network.path.stat().st_size <= 16e6


def test_missing_model_file(own_models):
    choose_card().network.path.unlink()
    with pytest.raises(ModelError, match="missing or unreadable: reinstall with: python3 install.py"):
        open_model()


def test_altered_model_file(own_models):
    path = choose_card().network.path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="was altered or damaged"):
        open_model()


def test_no_model_for_an_engine(own_models):
    with pytest.raises(ModelError, match="There is no engine 'steam'"):
        choose_card(engine="steam")
    for path in own_models.glob("*.json"):
        path.write_text(path.read_text().replace("whole-", "no-"))
    assert not any(isinstance(card, WholeImageCard) for card in find_cards())  # tasks of later versions are passed over
    with pytest.raises(ModelError, match="No model for the engine whole"):
        choose_card()


@pytest.mark.parametrize("which", ["network", "fine.dilated", "coarser.strided", "coarser.dilated", "pixels"])
def test_a_patch_classifier_needs_all_its_networks(own_models, which):
    card = choose_card(engine="texture")
    path = attrgetter(which)(card).path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="altered or damaged"):
        open_segmenter(card)


def test_a_patch_classifiers_card_says_what_a_dense_map_needs(texture_model):
    card = texture_model.card
    assert card.task == "patch" and card.fine.strided.window == card.fine.dilated.window == 35
    assert card.network == card.fine.strided and card.pixels.window == 0
    assert card.coarser.strided.long_side == card.coarser.dilated.long_side < card.network.long_side
    assert len({network.path for network in card.networks}) == 5
    assert card.fine.multiplications["window"] > 50 * card.fine.multiplications["dilated"]
    assert card.fine.multiplications["dilated"] > card.fine.multiplications["strided"]


def test_the_network_that_refines_is_another_card(own_models, model):
    card = choose_card()
    assert card.matting.name == card.details["matting"] and card.matting.task == "matting"
    assert card.networks == (card.network, card.matting.network)
    assert model.matting.card.sha256 == card.matting.network.sha256
    free = next(card for card in find_cards() if card.name.endswith("-free"))
    assert free.matting is None and open_segmenter(free, "cpu", quality="best").refiner is None
    path = card.matting.network.path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="altered or damaged"):
        open_segmenter(card, "cpu")
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
    with pytest.raises(NoSuchModelError, match="The engine whole has no model 'x'"):
        choose_card("x")


def test_file_that_is_no_model_but_matches_its_card(own_models):
    path = choose_card().network.path
    path.write_bytes(b"not onnx")
    path = path.with_suffix(".json")
    details = json.loads(path.read_text())
    details["sha256"] = hashlib.sha256(b"not onnx").hexdigest()
    path.write_text(json.dumps(details))
    with pytest.raises(ModelError, match="does not run on this machine"):
        open_model()
