"""The training of the pixel classifier."""

import cv2
import numpy as np
import onnxruntime as ort
import pytest
import torch

from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import assemble, segment_photo
from hairmask_core.segmentation.pixel_classifier import PIXEL_FEATURES, UNCERTAIN_RANGE
from models.training import pixel_classifier, trainer
from models.training.datasets import find_samples

LOG_ODDS = 15  # the feature that is a quarter of the map's log odds


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Samples are made in this process, and no curves are drawn."""
    monkeypatch.setattr(trainer, "WORKERS", 0)
    monkeypatch.setattr(trainer, "plot", lambda *of: None)


@pytest.mark.training
def test_the_network_learns_what_decides(tmp_path, monkeypatch):
    """Pixels whose third and fifth feature decide."""
    monkeypatch.setattr(pixel_classifier, "BATCH", 512)
    features = np.random.default_rng(8).normal(0.5, 2, (6000, PIXEL_FEATURES)).astype(np.float32)
    hair, half = features[:, 3] + features[:, 5] > 1, 3000
    network = pixel_classifier.fit(features[:half], hair[:half], tmp_path)
    pixel_classifier.export(network, tmp_path / "pixels.onnx")
    with torch.no_grad():
        p = torch.sigmoid(network(torch.from_numpy(features[half:]))).numpy()
    assert ((p > 0.5) == hair[half:]).mean() > 0.9
    runtime = ort.InferenceSession((tmp_path / "pixels.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(runtime.run(None, {"features": features[half:]})[0], p, atol=1e-4)


def write_photo(folder, image, mask):
    for part, picture, kind in (("images", image[..., ::-1], "jpg"), ("masks", mask, "png")):
        (folder / "people" / part).mkdir(parents=True)
        cv2.imwrite(str(folder / "people" / part / f"a.{kind}"), picture)
    return find_samples(folder, "people")


def test_uncertain_pixels_are_read_with_their_truth(model, astronaut, tmp_path):
    mask = np.zeros((512, 512), np.uint8)
    mask[:, :230] = 255  # not the hair, but easy to tell
    features, p, truth = pixel_classifier.read_pixels(write_photo(tmp_path, astronaut, mask), model)
    assert features.shape == (len(p), PIXEL_FEATURES) and len(truth) == len(p)
    assert ((p > UNCERTAIN_RANGE[0]) & (p < UNCERTAIN_RANGE[1])).all()
    most = pixel_classifier.PER_PLACE * len(segment_photo(Photo(astronaut), model))
    assert len(p) <= most and 0.1 < truth.mean() < 0.9


def test_a_shy_network_is_tuned_to_what_makes_the_maps_best(model, astronaut, tmp_path):
    """It says the map's own probability, but its logits are lower by 1; the truth is the map itself."""
    photo = Photo(astronaut)
    found = assemble(photo, segment_photo(photo, model), False) >= 0.5
    network = pixel_classifier.PixelNet()
    network.layers = torch.nn.Sequential(torch.nn.Linear(PIXEL_FEATURES, 1))
    network.layers[0].weight.data.zero_()
    network.layers[0].weight.data[0, LOG_ODDS] = 4
    network.layers[0].bias.data.fill_(-1)
    samples = write_photo(tmp_path, astronaut, found.astype(np.uint8) * 255)
    assert abs(pixel_classifier.tune(network, samples, model) - 1) <= 0.25
    assert abs(network.layers[0].bias.item()) <= 0.25
