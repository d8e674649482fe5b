"""The training of patch classifiers: networks, windows, prior."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from hairmask_core.inference.cards import choose_card
from hairmask_core.inference.session import open_session
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import segment_photo
from models.training import patches, texture, uncertain
from models.training.data import find_pairs
from models.training.patch_export import count_ways
from models.training.patch_network import FAMILIES, STRIDE, WINDOW, PatchNet, count_operations, depth, dilate


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_densely_and_exactly(family):
    torch.manual_seed(2)
    network = PatchNet(family)
    for module in network.modules():  # statistics as after training
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2), module.running_var.uniform_(0.05, 0.2)
    network.eval()
    x = torch.rand(1, 3, WINDOW + 5, WINDOW + 8) * 2 - 1
    windows = x[0].unfold(1, WINDOW, 1).unfold(2, WINDOW, 1).permute(1, 2, 0, 3, 4)
    with torch.no_grad():
        expected = network(windows.reshape(-1, 3, WINDOW, WINDOW)).reshape(6, 9)
        dense, strided = dilate(network)(x)[0, 0], network(x)[0, 0]
    spread = float(expected.std())
    assert spread > 0
    torch.testing.assert_close(dense, expected, rtol=1e-4, atol=1e-4 * spread)
    torch.testing.assert_close(strided, expected[::STRIDE, ::STRIDE], rtol=1e-4, atol=1e-4 * spread)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_cost_about_the_same_at_a_pixel_of_a_dense_map(family):
    assert 0.3e6 < sum(weight.numel() for weight in PatchNet(family).parameters()) < 0.6e6
    assert depth(PatchNet(family)) >= 12


def test_operations_are_counted():
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 3, stride=2, groups=8), nn.Conv2d(8, 1, 1))
    assert count_operations(layers, 9) == 3 * 8 * 9 * 49 + 8 * 9 * 9 + 8 * 9


def test_ways_cost_what_their_outputs_do():
    ways = count_ways(PatchNet("vgg"))
    assert ways["window"] > 100 * ways["dilated"] and ways["dilated"] > 2 * ways["strided"]


def test_hair_and_the_rest_weigh_the_same():
    labels = torch.zeros(10, 10)
    labels[0, :5] = 1  # 5 of 100
    assert float(patches.balanced_loss(torch.zeros(10, 10), labels)) == pytest.approx(math.log(2))
    sure = torch.full((10, 10), 20.0)
    assert float(patches.balanced_loss(sure, labels)) == pytest.approx(10, rel=1e-3)
    assert float(patches.balanced_loss(-sure, labels)) == pytest.approx(10, rel=1e-3)


RECIPE = patches.PatchRecipe("tiny", "vgg", {"people": 0.7, "nohair": 0.3}, steps=12, batch=4)


def plain(image, mask, rng):
    """In place of `change_look`: the colors as they are."""
    return image / np.float32(127.5) - 1, mask / np.float32(255)


@pytest.fixture
def photos():
    """One photo: hair is red, the rest blue; and one without hair."""
    mask = np.zeros((400, 600), np.uint8)
    mask[100:300, 200:420] = 255
    image = np.where(mask[..., None] > 0, (200, 20, 20), (20, 20, 200)).astype(np.uint8)
    return {"people": [(image, mask)], "nohair": [(image[:90].copy(), mask[:90].copy())]}


def test_windows_are_balanced_and_labelled_by_their_center(photos):
    windows, labels = patches.cut_windows(photos["people"])
    assert windows.shape == (patches.WINDOWS_PER_PHOTO, WINDOW, WINDOW, 3) and labels.mean() == 0.5
    np.testing.assert_array_equal(windows[:, WINDOW // 2, WINDOW // 2, 0] > 110, labels)
    windows, labels = patches.cut_windows(photos["nohair"])
    assert len(windows) == patches.WINDOWS_PER_PHOTO // 2 and not labels.any()


def test_pieces_carry_the_labels_of_their_windows_centers(photos, monkeypatch):
    monkeypatch.setattr(patches, "change_look", plain)
    stream = iter(patches.Pieces(photos, RECIPE, (1,)))
    pieces, labels = map(torch.stack, zip(*(next(stream) for _ in range(40))))
    assert pieces.shape == (40, 3, patches.PIECE, patches.PIECE)
    centers = pieces[:, 0, WINDOW // 2 : -(WINDOW // 2) : STRIDE, WINDOW // 2 : -(WINDOW // 2) : STRIDE]
    assert labels.shape == (40, 1, patches.NEIGHBOURS, patches.NEIGHBOURS) and centers.shape == labels[:, 0].shape
    agree = ((centers > -0.14) == (labels[:, 0] > 0.5)).float().mean()
    assert agree > 0.99  # the line between the colors is blurred by the warp
    assert 0.2 < labels.mean() < 0.6
    again = next(iter(patches.Pieces(photos, RECIPE, (1,))))[0]
    torch.testing.assert_close(again, pieces[0])


def test_training_learns_and_restarts(photos, tmp_path, monkeypatch):
    for name, value in {"LOG_EVERY": 12, "WARM_UP_STEPS": 2, "AVERAGING": 0.5}.items():
        monkeypatch.setattr(patches, name, value)
    monkeypatch.setattr(patches, "change_look", plain)
    windows, labels = patches.cut_windows(photos["people"])
    second = dataclasses.replace(RECIPE, steps=24)
    patches.train(RECIPE, photos, windows, labels, tmp_path)
    checkpoint = patches.train(second, photos, windows, labels, tmp_path)
    log = torch.load(checkpoint, weights_only=True)["log"]
    assert [entry["step"] for entry in log] == [12, 24] and log[1]["loss"] < log[0]["loss"]
    p = patches.classify(patches.read_checkpoint(second, checkpoint), windows)
    assert p.shape == labels.shape and p[labels].mean() > p[~labels].mean() + 0.2


def test_fusion_finds_the_weights_and_the_prior():
    rng = np.random.default_rng(6)
    odds = rng.normal(0, 2, (40000, 2)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(0.8 * odds[:, 0] + 0.3 * odds[:, 1] - 1.5)))
    fusion = texture.fit_fusion(odds, rng.random(40000) < chance)
    assert fusion == {
        "fine": pytest.approx(0.8, abs=0.05),
        "coarse": pytest.approx(0.3, abs=0.05),
        "constant": pytest.approx(-1.5, abs=0.08),
    }


def test_the_model_is_built_from_two_classifiers(photos, tmp_path, monkeypatch):
    """Twelve steps each, two photos: far from good, but whole."""
    data = tmp_path / "data"
    image, mask = photos["people"][0]
    for name in ("images", "masks"):
        (data / "figaro1k" / name).mkdir(parents=True)
    for stem in ("Frame00001", "Frame00002", "Frame00005"):
        cv2.imwrite(str(data / "figaro1k" / "images" / f"{stem}.jpg"), image[..., ::-1])
        cv2.imwrite(str(data / "figaro1k" / "masks" / f"{stem}.png"), mask)
    assert [pair.is_validation for pair in find_pairs(data, ("figaro1k",))] == [False, False, True]
    recipes = [
        dataclasses.replace(RECIPE, name=name, long_side=side) for name, side in (("hair-texture", 96), ("c", 48))
    ]
    monkeypatch.setattr(texture, "FINE", recipes[0])
    monkeypatch.setattr(texture, "COARSER", recipes[1])
    monkeypatch.setattr(texture, "PHOTOS", {"figaro1k": 2})
    monkeypatch.setattr(uncertain, "BATCH", 64)
    monkeypatch.setattr(patches, "LOG_EVERY", 12)
    windows, labels = patches.cut_windows(photos["people"], 96)
    checkpoints = tuple(patches.train(r, photos, windows, labels, tmp_path / r.name) for r in recipes)
    texture.build(data, checkpoints, tmp_path, datasets=("figaro1k",))

    card = choose_card(folder=tmp_path, engine="texture")
    assert card.long_side == 96 and card.coarser.long_side == 48 and card.details["accuracy"]["figaro1k"]["photos"] == 1
    assert card.details["terms"] and card.details["megabytes"] > 1
    (look,) = segment_photo(Photo(image), open_session(card, "cpu"))
    assert look.coarse.shape == (64, 96) and look.coarse[20:44, 36:64].mean() > look.coarse[:, :20].mean()
