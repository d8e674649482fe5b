"""The training of patch classifiers: networks, windows, fusion, the whole model."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from hairmask_core.inference.cards import choose_card
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import segment_photo
from hairmask_core.segmentation.segmenter import open_segmenter
from models.training import export, patch_classifiers, pixel_classifier, trainer
from models.training.datasets import ANY, LEFT_OUT, find_samples
from models.training.patch_network import STRIDE, WINDOW, PatchNet, count_operations, dilate
from models.training.studies import patch_families
from models.training.studies.patch_families import FAMILIES, depth
from models.training.trainer import Phase, Samples


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Samples are made in this process, and no curves are drawn."""
    monkeypatch.setattr(trainer, "WORKERS", 0)
    monkeypatch.setattr(trainer, "plot", lambda *of: None)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_densely_and_exactly(family):
    torch.manual_seed(2)
    network = FAMILIES[family][1]()
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
    network = FAMILIES[family][1]()
    assert 0.3e6 < sum(weight.numel() for weight in network.parameters()) < 0.6e6
    assert depth(network) >= 12


def test_what_ships_is_the_comparisons_mobilenetv2():
    shipped, compared = PatchNet().state_dict(), FAMILIES["mobilenetv2"][1]().state_dict()
    assert {name: value.shape for name, value in shipped.items()} == {n: v.shape for n, v in compared.items()}
    parameters = sum(weight.numel() for weight in PatchNet().parameters())
    assert parameters == choose_card(engine="texture").details["parameters"]


def test_operations_are_counted():
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.Conv2d(8, 8, 3, stride=2, groups=8), nn.Conv2d(8, 1, 1))
    assert count_operations(layers, 9) == 3 * 8 * 9 * 49 + 8 * 9 * 9 + 8 * 9


def test_ways_cost_what_their_outputs_do(monkeypatch):
    ways = patch_classifiers.count_ways(FAMILIES["vgg"][1]())
    assert ways["window"] > 100 * ways["dilated"] and ways["dilated"] > 2 * ways["strided"]


def test_hair_and_the_rest_weigh_the_same():
    hair, known = torch.zeros(10, 10), torch.ones(10, 10)
    hair[0, :5] = 1  # 5 of 100
    assert float(patch_classifiers.balanced_loss(torch.zeros(10, 10), hair, known)) == pytest.approx(math.log(2))
    sure = torch.full((10, 10), 20.0)
    assert float(patch_classifiers.balanced_loss(sure, hair, known)) == pytest.approx(10, rel=1e-3)
    assert float(patch_classifiers.balanced_loss(-sure, hair, known)) == pytest.approx(10, rel=1e-3)
    known[:, 5:] = 0  # what is not known may be anything
    twisted = torch.where(known > 0, 20 * (2 * hair - 1), sure)
    assert float(patch_classifiers.balanced_loss(twisted, hair, known)) < 1e-6


TINY = patch_classifiers.Recipe(
    "tiny",
    dataclasses.replace(
        patch_classifiers.plan(24, seed=11),
        phases=(Phase(patch_classifiers.PATCH, 4, 24),),
        warm_up=2,
        averaging=0.5,
        log_every=12,
    ),
    640,
    {"people": 0.7, "nohair": 0.3},
)


def plain(image, labels, rng):
    """In place of `change_look`: the colors as they are."""
    return image / np.float32(127.5) - 1


def small() -> PatchNet:
    return FAMILIES["vgg"][1]()


@pytest.fixture
def photos():
    """One photo: hair is red, the rest blue; and one without hair."""
    mask = np.zeros((400, 600), np.uint8)
    mask[100:300, 200:420] = 255
    image = np.where(mask[..., None] > 0, (200, 20, 20), (20, 20, 200)).astype(np.uint8)
    labels = np.stack([mask, np.full_like(mask, ANY)], axis=2)
    return {"people": [(image, labels)], "nohair": [(image[:90].copy(), labels[:90].copy())]}


def test_windows_are_balanced_and_labelled_by_their_center(photos):
    windows, labels = patch_classifiers.cut_windows(photos["people"], 640)
    assert windows.shape == (patch_classifiers.WINDOWS_PER_PHOTO, WINDOW, WINDOW, 3) and labels.mean() == 0.5
    np.testing.assert_array_equal(windows[:, WINDOW // 2, WINDOW // 2, 0] > 110, labels)
    windows, labels = patch_classifiers.cut_windows(photos["nohair"], 640)
    assert len(windows) == patch_classifiers.WINDOWS_PER_PHOTO // 2 and not labels.any()


def test_windows_lie_where_labels_are_known(photos):
    image, labels = photos["people"][0]
    labels[:, :300, 1] = LEFT_OUT
    image[:, :290] = 0
    windows, _ = patch_classifiers.cut_windows([(image, labels)], 600)
    assert (windows[:, WINDOW // 2, WINDOW // 2].sum(1) > 0).all()


def test_patches_carry_the_labels_of_their_windows_centers(photos, monkeypatch):
    monkeypatch.setattr(patch_classifiers, "change_look", plain)
    samples = Samples(patch_classifiers.Patches(photos, TINY), 1)
    patches, labels, known = map(torch.stack, zip(*(samples[i] for i in range(40)), strict=True))
    assert patches.shape == (40, 3, patch_classifiers.PATCH, patch_classifiers.PATCH)
    centers = patches[(slice(None), 0, *patch_classifiers.CENTERS)]
    assert labels.shape == known.shape == (40, 1, 9, 9) and centers.shape == (40, 9, 9) and known.all()
    agree = ((centers > -0.14) == (labels[:, 0] > 0.5)).float().mean()
    assert agree > 0.99  # the line between the colors is blurred by the warp
    assert 0.2 < labels.mean() < 0.6
    torch.testing.assert_close(Samples(patch_classifiers.Patches(photos, TINY), 1)[3][0], patches[3])
    photos["people"][0][1][..., 1] = LEFT_OUT
    assert not all(part[2].all() for part in (samples[i] for i in range(10)))


@pytest.mark.training
def test_training_learns(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(patch_classifiers, "change_look", plain)
    windows, labels = patch_classifiers.cut_windows(photos["people"], 640)
    checkpoint = patch_classifiers.run(TINY, photos, windows, labels, tmp_path, small)
    log = torch.load(checkpoint, weights_only=True)["log"]
    assert [entry["step"] for entry in log] == [0, 12, 24] and log[2]["loss"] < log[1]["loss"]
    p = patch_classifiers.classify(trainer.read_average(small(), checkpoint), windows)
    assert p.shape == labels.shape and p[labels].mean() > p[~labels].mean() + 0.2
    assert log[-1]["top1"] == ((p >= 0.5) == labels).mean()


@pytest.mark.training
def test_families_are_compared(photos, tmp_path, monkeypatch):
    choices = photos["people"]
    monkeypatch.setattr(patch_families, "read_photos", lambda data, sets: (photos, choices))
    monkeypatch.setattr(patch_families, "FINE", TINY)
    monkeypatch.setattr(patch_families, "STEPS", 1)
    monkeypatch.setattr(patch_families, "FAMILIES", {"vgg": FAMILIES["vgg"]})
    monkeypatch.setattr(patch_families, "milliseconds", lambda path: 5)
    table = patch_families.compare(tmp_path, tmp_path).splitlines()
    assert table[0] == "20 windows, 10 of them hair" and len(table) == 5
    assert table[4].startswith("| VGG | 0.") and table[4].endswith("| 0.45 M | 0.90 | 12 | 152 M | 5 |")


def test_fusion_finds_the_weights_and_the_prior():
    rng = np.random.default_rng(6)
    odds = rng.normal(0, 2, (40000, 2)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(0.8 * odds[:, 0] + 0.3 * odds[:, 1] - 1.5)))
    fusion = patch_classifiers.fit_fusion(odds, rng.random(40000) < chance)
    assert fusion == {
        "fine": pytest.approx(0.8, abs=0.05),
        "coarse": pytest.approx(0.3, abs=0.05),
        "constant": pytest.approx(-1.5, abs=0.08),
    }


@pytest.mark.training
def test_the_model_is_built_from_two_classifiers(photos, tmp_path, monkeypatch):
    """A few steps each, few photos: far from good, but whole."""
    data = tmp_path / "data"
    image, labels = photos["people"][0]
    for name in ("images", "masks"):
        (data / "figaro1k" / name).mkdir(parents=True)
    for stem in ("Frame00001", "Frame00002", "Frame00005", "Frame00008"):
        cv2.imwrite(str(data / "figaro1k" / "images" / f"{stem}.jpg"), image[..., ::-1])
        cv2.imwrite(str(data / "figaro1k" / "masks" / f"{stem}.png"), labels[..., 0])
    assert [s.part for s in find_samples(data, "figaro1k")] == ["training", "training", "report", "choice"]
    plan = dataclasses.replace(TINY.plan, phases=(Phase(patch_classifiers.PATCH, 4, 10),))
    fine = dataclasses.replace(TINY, name="hair-texture", plan=plan, long_side=96)
    monkeypatch.setattr(patch_classifiers, "FINE", fine)
    monkeypatch.setattr(patch_classifiers, "COARSER", dataclasses.replace(fine, name="c", long_side=48))
    for name in ("LEARNED_FROM", "FUSED_ON"):
        monkeypatch.setattr(patch_classifiers, name, {"figaro1k": 2})
    monkeypatch.setattr(patch_classifiers, "SETS", {"figaro1k": 1.0, "nohair": 0.0})
    monkeypatch.setattr(patch_classifiers, "change_look", plain)
    monkeypatch.setattr(pixel_classifier, "BATCH", 64)
    monkeypatch.setattr(pixel_classifier, "EPOCHS", 3)
    training = {"people": photos["people"], "nohair": photos["nohair"]}
    monkeypatch.setattr(patch_classifiers, "read_photos", lambda data, sets: (training, photos["people"]))
    monkeypatch.setattr(patch_classifiers, "measure_into", lambda card, out, data, sets: export.write_card(card, out))
    patch_classifiers.make(data, tmp_path, tmp_path)

    card = choose_card(folder=tmp_path, engine="texture")
    assert card.network.long_side == 96 and card.coarser.strided.long_side == 48
    assert card.pixels and card.details["megabytes"] > 1
    assert "Figaro-1k (published for research)" in card.details["terms"]
    (crop,) = segment_photo(Photo(image), open_segmenter(card, "cpu"))
    assert crop.coarse.shape == (64, 96) and crop.coarse[20:44, 36:64].mean() > crop.coarse[:, :20].mean()
