"""What the matting network learns from, and that it learns."""

import dataclasses
import json

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper

from hairmask_core.inference.cards import read_card
from hairmask_core.inference.network import open_network
from hairmask_core.matting.matting_network import MATTING_FEATURES, MATTING_TILE, matting_features
from models.training import average, matting, trainer
from models.training.export import file_entry, write_card, write_onnx
from models.training.matting_network import MattingNet, apply_linear
from models.training.matting_samples import FACTORS, GUIDE_SIDE, draw_matting_sample, read_matting_samples
from models.training.trainer import Phase, Samples
from synthetic.surfaces import draw_pattern


@pytest.fixture(scope="module")
def hair():
    return [draw_matting_sample(seed) for seed in (0, 3)]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Samples are made in this process, and no curves are drawn."""
    monkeypatch.setattr(trainer, "WORKERS", 0)
    monkeypatch.setattr(trainer, "plot", lambda *of: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory, astronaut):
    """A training photo with hair and one without."""
    root = tmp_path_factory.mktemp("data")
    mask = np.zeros((512, 512), np.uint8)
    mask[20:200, 150:330] = 255
    for name, hair in (("figaro1k", mask), ("things", np.zeros_like(mask))):
        for part, picture, kind in (("images", astronaut[..., ::-1], "jpg"), ("masks", hair, "png")):
            (root / name / part).mkdir(parents=True)
            cv2.imwrite(str(root / name / part / f"a.{kind}"), picture)
    return root


def test_rendered_samples_are_the_same_every_time_and_fit_their_picture(hair, tmp_path):
    np.savez(tmp_path / "00003.npz", **vars(draw_matting_sample(3)))
    (again,) = read_matting_samples(tmp_path)
    for name, value in vars(hair[1]).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    for one in hair:
        assert len(one.alpha) in {round(GUIDE_SIDE * factor) for factor in FACTORS}
        assert one.color.shape == (*one.alpha.shape, 3)
        assert (one.color.astype(int) <= one.alpha[..., None].astype(int) + 1).all()  # times alpha
        # It lies where the alpha of the whole picture says the same, blurred.
        there = matting.cut_map(one.small, one.place, 24)
        here = cv2.resize(one.alpha, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32)
        assert np.corrcoef(there.ravel(), here.ravel())[0, 1] > 0.75


def test_without_samples_the_command_that_makes_them_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"models\.training\.matting_samples"):
        read_matting_samples(tmp_path)


def test_a_sample_is_the_hair_over_the_background(hair, monkeypatch):
    """Where the map is made neither unsure nor to run over curls, it is like the hair."""
    monkeypatch.setattr(matting, "DOUBTS", (1.0,))
    monkeypatch.setattr(matting, "CURLS", 0.0)
    side, alike = len(hair[0].alpha), []
    for seed in range(9):
        rng = np.random.default_rng(seed)
        rgb, guide, p, alpha = matting.compose(hair[0], np.full((300, 300, 3), 128, np.uint8), rng)
        assert rgb.shape == (side, side, 3) and alpha.shape == (side, side) and rgb.dtype == np.float32
        assert guide.shape == (GUIDE_SIDE, GUIDE_SIDE, 3) and p.shape == (GUIDE_SIDE, GUIDE_SIDE)
        assert 0 <= rgb.min() and rgb.max() <= 1 and 0 <= p.min() and p.max() <= 1
        small = [cv2.resize(one, (24, 24), interpolation=cv2.INTER_AREA).ravel() for one in (alpha, p)]
        alike.append(np.corrcoef(*small)[0, 1])
    assert np.median(alike) > 0.6 and min(alike) > 0.4, alike


def test_colors_nearby_tell_hair_from_the_rest():
    """Strands of one color before another, whose map only knows the outer parts."""
    alpha = np.zeros((160, 160), np.float32)
    alpha[:, :60], alpha[::2, 60:100] = 1, 1
    hair, rest = np.float32([0.3, 0.2, 0.1]), np.float32([0.7, 0.8, 0.9])
    guide = alpha[..., None] * hair + (1 - alpha[..., None]) * rest
    p = np.tile(np.clip(np.linspace(1.5, -0.5, 160, dtype=np.float32), 0, 1), (160, 1))
    x = matting_features(guide, p)
    assert x.shape == (160, 160, MATTING_FEATURES) and x.dtype == np.float32
    np.testing.assert_array_equal(x[..., :4], np.dstack([guide, p]))
    assert np.abs(x[..., 4] - alpha)[:, 60:100].max() < 0.1
    assert np.median(x[:, 60:100, 5]) == pytest.approx(np.square(hair - rest).sum(), rel=0.2)
    for value in (0.0, 0.5, 1.0):  # where there is only one of both, or neither
        assert np.isfinite(matting_features(guide[:3, :5], np.full((3, 5), value, np.float32))).all()


def test_a_batch_is_of_one_size_and_real_or_rendered_throughout(hair, data, monkeypatch):
    monkeypatch.setattr(matting, "REAL", {"figaro1k": 1})
    monkeypatch.setattr(matting, "BACKGROUNDS", {"things": 1})
    samples = Samples(matting.Compositions(hair, matting.read_backgrounds(data), matting.read_real(data), 3), 1)
    kinds = set()
    for batch in range(8):
        members = [samples[number] for number in range(3 * batch, 3 * batch + 3)]
        assert len({(rgb.shape, bool(is_real)) for _, rgb, _, is_real in members}) == 1
        kinds.add((members[0][1].shape[1], bool(members[0][3])))
        for x, rgb, alpha, _ in members:
            assert x.shape == (MATTING_FEATURES, GUIDE_SIDE, GUIDE_SIDE) and rgb.shape[1:] == alpha.shape[1:]
    assert len(kinds) > 1 and {is_real for _, is_real in kinds} == {False, True}
    for part, again in zip(samples[4], samples[4], strict=True):
        torch.testing.assert_close(part, again, rtol=0, atol=0)


@pytest.mark.training
def test_the_network_starts_from_the_guess_and_learns(hair, data, tmp_path, monkeypatch):
    for name, value in {"BACKGROUNDS": {"things": 1}, "REAL": {"figaro1k": 1}}.items():
        monkeypatch.setattr(matting, name, value)
    plan = dataclasses.replace(matting.PLAN, phases=(Phase(GUIDE_SIDE, 2, 3),), warm_up=1)
    path = matting.run(data, hair, tmp_path, plan=plan)
    saved = torch.load(path, weights_only=True)
    assert saved["step"] == 3

    network = MattingNet()
    x = torch.rand(1, MATTING_FEATURES, MATTING_TILE, MATTING_TILE)
    rgb = x[:, :3]
    with torch.no_grad():
        untrained = apply_linear(network(x), rgb)
    torch.testing.assert_close(untrained, ((x[:, 3:4] + x[:, 4:5]) / 2).clamp(0.01, 0.99), atol=1e-4, rtol=0)
    network = trainer.read_average(network, path)
    with torch.no_grad():
        assert (apply_linear(network(x), rgb) - untrained).abs().max() > 1e-4

    matting.export(network, len(hair), tmp_path, plan)
    card = read_card(tmp_path / f"{matting.NAME}.json")
    assert card.task == "matting" and json.loads((tmp_path / f"{matting.NAME}.json").read_text())["parameters"] > 3e5
    runs = open_network(card.network, "cpu")
    assert isinstance(runs.in_use.session.runtime, ort.InferenceSession)
    with torch.no_grad():
        np.testing.assert_allclose(runs.run(x.numpy()), network(x).numpy(), atol=2e-3)

    for name, weights in matting.read_weights(card.network.path).items():  # what --start goes on from
        torch.testing.assert_close(weights, saved["average"][name], atol=1e-3, rtol=2e-3)
    monkeypatch.setattr(matting, "TRAINING_DATA", ["figaro1k", "things", *matting.TRAINING_DATA])
    slow = dataclasses.replace(plan, phases=(Phase(GUIDE_SIDE, 2, 1),), rate=1e-9)
    further = torch.load(matting.run(data, hair, tmp_path / "further", card.network.path, slow), weights_only=True)[
        "network"
    ]
    torch.testing.assert_close(further, matting.read_weights(card.network.path), atol=1e-6, rtol=0)


def test_the_loss_is_least_at_the_truth(hair):
    soft = torch.from_numpy(hair[0].alpha.astype(np.float32) / 255)[None, None]
    for is_real, alpha in ((False, soft), (True, soft.round())):  # real masks are drawn by hand, without shades
        assert matting.matte_loss(alpha, alpha, is_real).item() < 1e-6
        assert matting.matte_loss(alpha * 0.8, alpha, is_real) > matting.matte_loss(alpha * 0.95, alpha, is_real) > 1e-3


def test_the_wrong_side_of_a_real_mask_costs_more_than_a_soft_outline_on_the_right_one():
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., :32] = 1
    right, wrong = alpha.clone(), alpha.clone()
    right[..., 30:34] = torch.tensor([0.7, 0.65, 0.35, 0.3])
    wrong[..., 30:34] = torch.tensor([0.35, 0.3, 0.7, 0.65])  # as much hair over the squares that are compared
    assert matting.matte_loss(right, alpha, True) < 0.5 * matting.matte_loss(wrong, alpha, True)


def test_coarse_maps_are_unsure_in_places():
    alpha = np.zeros((300, 300), np.uint8)
    alpha[:, 100:] = 255
    maps = [matting.coarse_map(alpha, np.random.default_rng(seed)) for seed in range(20)]
    assert all(p.dtype == np.float32 and 0 <= p.min() and p.max() <= 1 for p in maps)
    inside = np.array([p[:, p.shape[1] // 2 :].mean() for p in maps])
    assert (inside > 0.97).sum() >= 4 and (inside < 0.9).sum() >= 2 and inside.min() > 0.5


def test_the_mean_of_two_networks_is_a_network_between_them(tmp_path, monkeypatch):
    """Of linear networks: what it says is the mean of what they say. Of others than of one shape there is none."""
    for name, weight in (("one", 1.0), ("other", 3.0)):
        layer = torch.nn.Conv2d(3, 1, 1, bias=False)
        torch.nn.init.constant_(layer.weight, weight)
        write_onnx(layer, tmp_path / f"{name}.onnx", [torch.rand(1, 3, 4, 4)])
    write_card({"name": "one", "kept": 7} | file_entry(tmp_path / "one.onnx"), tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    files = [str(tmp_path / f"{name}.onnx") for name in ("one", "other")]
    monkeypatch.setattr("sys.argv", ["average", *files, "--share", "0.25", "--out", str(out)])
    average.main()
    found = onnx.load(out / "one.onnx")
    assert numpy_helper.to_array(found.graph.initializer[0]).ravel().tolist() == [1.5, 1.5, 1.5]
    card = json.loads((out / "one.json").read_text())
    assert card == {"name": "one", "kept": 7} | file_entry(out / "one.onnx")
    write_onnx(torch.nn.Conv2d(3, 2, 1, bias=False), tmp_path / "larger.onnx", [torch.rand(1, 3, 4, 4)])
    with pytest.raises(ValueError, match="not of one shape"):
        average.average_weights(found, onnx.load(tmp_path / "larger.onnx"), 0.5)


def test_every_pattern_is_drawn():
    for seed in range(12):
        cloth = draw_pattern(64, np.random.default_rng(seed))
        assert cloth.shape == (64, 64, 3) and cloth.dtype == np.float32
        assert 0 <= cloth.min() and cloth.max() <= 255 and cloth.std(axis=(0, 1)).max() > 1
