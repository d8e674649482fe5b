"""The training of the pixel-level classifier."""

import cv2
import numpy as np
import onnxruntime as ort
import pytest
import torch

from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import assemble, segment_photo
from hairmask_core.segmentation.pixel_classifier import PIXEL_FEATURES, UNCERTAIN_RANGE
from models.training import uncertain
from models.training.data import find_pairs

LOG_ODDS = 15  # the feature that is a quarter of the map's log odds


@pytest.fixture(scope="module")
def pixels():
    """Pixels whose third and fifth feature decide."""
    features = np.random.default_rng(8).normal(0.5, 2, (6000, PIXEL_FEATURES)).astype(np.float32)
    return features, features[:, 3] + features[:, 5] > 1


def test_network_and_forest_learn_what_decides(pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(uncertain, "EPOCHS", 60)
    (features, hair), half = pixels, 3000
    network = uncertain.train(features[:half], hair[:half])
    forest = uncertain.grow_forest(features[:half], hair[:half])
    with torch.no_grad():
        p = torch.sigmoid(network(torch.from_numpy(features[half:]))).numpy()
    assert ((p > 0.5) == hair[half:]).mean() > 0.9
    assert ((forest(features[half:]) > 0.5) == hair[half:]).mean() > 0.75

    uncertain.write_onnx(network, tmp_path / "pixels.onnx")
    runtime = ort.InferenceSession((tmp_path / "pixels.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(runtime.run(None, {"features": features[half:]})[0], p, atol=1e-4)


def test_uncertain_pixels_are_read_with_their_truth(session, astronaut, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / "people" / part).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "people" / "images" / "a.jpg"), astronaut[..., ::-1])
    mask = np.zeros((512, 512), np.uint8)
    mask[:, :230] = 255  # not the hair, but easy to tell
    cv2.imwrite(str(tmp_path / "people" / "masks" / "a.png"), mask)
    pairs = find_pairs(tmp_path, ("people",))
    features, p, truth = uncertain.read_pixels(pairs, session)
    assert features.shape == (len(p), PIXEL_FEATURES) and len(truth) == len(p)
    assert ((p > UNCERTAIN_RANGE[0]) & (p < UNCERTAIN_RANGE[1])).all()
    assert len(p) <= uncertain.PER_PLACE * len(segment_photo(Photo(astronaut), session)) and 0.1 < truth.mean() < 0.9

    wanted, said, _, everything, map_of_all = next(uncertain.each_place(pairs, session))
    own = uncertain.ask_own_forest(wanted, said, everything, map_of_all)
    assert own.shape == said.shape and ((own >= 0) & (own <= 1)).all() and np.corrcoef(own, said)[0, 1] > 0.2
    nothing_certain = np.full_like(map_of_all, 0.5)
    np.testing.assert_array_equal(uncertain.ask_own_forest(wanted, said, everything, nothing_certain), said)


def test_a_shy_network_is_tuned_to_what_makes_the_maps_best(session, astronaut, tmp_path):
    """It says the map's own probability, but its logits are lower by 1; the truth is the map itself."""
    photo = Photo(astronaut)
    found = assemble(photo, segment_photo(photo, session), refine=False) >= 0.5
    for part, picture in (("images", astronaut[..., ::-1]), ("masks", found.astype(np.uint8) * 255)):
        (tmp_path / "people" / part).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "people" / part / f"a.{'jpg' if part == 'images' else 'png'}"), picture)
    network = uncertain.PixelNet()
    network.layers = torch.nn.Sequential(torch.nn.Linear(PIXEL_FEATURES, 1))
    network.layers[0].weight.data.zero_()
    network.layers[0].weight.data[0, LOG_ODDS] = 4
    network.layers[0].bias.data.fill_(-1)
    assert abs(uncertain.tune(network, find_pairs(tmp_path, ("people",)), session) - 1) <= 0.25
    assert abs(network.layers[0].bias.item()) <= 0.25
