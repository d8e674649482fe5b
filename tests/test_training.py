"""The training programs: samples, networks, restarts, export."""

import dataclasses
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind the installed product
from hairmask_core.inference.cards import choose_card
from hairmask_core.inference.session import open_session
from hairmask_core.segmentation.whole_image import segment
from models.training import __main__ as program
from models.training import export, labels, things, train
from models.training.data import augment, change_background, collage, crowd, cut_out, find_pairs, is_validation
from models.training.depthwise import DepthwiseConv
from models.training.measure import figaro_styles, format_tables, measure
from models.training.network import DECODERS, ENCODERS, Encoder, HairNet, imagenet_file
from models.training.recipes import RECIPES, Phase, Recipe
from models.training.rendered import render_person, render_surface

SIDE = 128


@pytest.fixture(scope="module")
def drawn():
    """A few drawn people: (image, mask) each, all with hair."""
    people = (render_person(SIDE, np.random.default_rng(seed)) for seed in range(40))
    return [(image, mask) for image, mask in people if (mask > 127).sum() > 300][:12]


@pytest.fixture(scope="module")
def data(tmp_path_factory, drawn):
    """Two data sets of drawn people in folders, as training wants them; stem "3" is for validation."""
    root = tmp_path_factory.mktemp("data")
    for name in ("figaro1k", "ccp"):
        for part in ("images", "masks"):
            (root / name / part).mkdir(parents=True)
        for number, (image, mask) in enumerate(drawn):
            cv2.imwrite(str(root / name / "images" / f"Frame{number:05}.jpg"), image[..., ::-1])
            cv2.imwrite(str(root / name / "masks" / f"Frame{number:05}.png"), (mask > 127).astype(np.uint8) * 255)
    assert any(pair.is_validation for pair in find_pairs(root, ("ccp",)))
    return root


TINY = Recipe(
    name="tiny",
    label="Tiny",
    terms="For tests.",
    sets={"figaro1k": 0.6, "ccp": 0.4},
    phases=(Phase(64, 2, 3), Phase(96, 2, 3)),
    encoder="lite0",
    start="random",
    long_side=96,
)


# Samples


def test_split_follows_the_rule():
    # CRC-32 modulo 10 of these: 2, 9; 0, 0, 5.
    assert not is_validation("123456789") and not is_validation("0")
    assert [is_validation(stem) for stem in ("Frame00053", "Frame00796", "Frame00054")] == [True, True, False]


def test_photo_without_a_mask_is_named(tmp_path):
    (tmp_path / "ccp" / "images").mkdir(parents=True)
    (tmp_path / "ccp" / "images" / "a.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg has no mask"):
        find_pairs(tmp_path, ("ccp",))


@pytest.mark.parametrize("seed", range(12))
def test_samples_are_in_range_and_the_same_for_the_same_seed(drawn, seed):
    made = [augment(*drawn[seed % len(drawn)], 96, np.random.default_rng(seed)) for _ in range(2)]
    (image, mask), again = made
    assert image.shape == (96, 96, 3) and mask.shape == (96, 96) and image.dtype == mask.dtype == np.float32
    assert -1 <= image.min() and image.max() <= 1 and 0 <= mask.min() and mask.max() <= 1
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(mask, again[1])


def test_cut_out_keeps_all_hair_and_drops_some_background(drawn):
    for image, mask in drawn:
        alpha = cut_out(image, mask)
        assert alpha.shape == mask.shape and alpha.dtype == np.float32
        assert alpha[mask > 250].mean() > 0.95
    assert np.mean([cut_out(*person).mean() for person in drawn]) < 0.9


@pytest.mark.parametrize("value", [0, 255])
def test_cut_out_of_nothing_or_everything_is_the_whole_photo(value):
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    mask = np.full((40, 60), value, np.uint8)
    if value:
        assert (cut_out(image, mask) == 1).all()


def test_new_background_leaves_the_person(drawn):
    image, mask = drawn[0]
    alpha = np.zeros(mask.shape, np.float32)
    alpha[mask > 127] = 1
    changed, same = change_background(image, mask, alpha, np.full((50, 70, 3), 9, np.uint8), np.random.default_rng(0))
    assert same is mask
    np.testing.assert_array_equal(changed[mask > 127], image[mask > 127])
    assert (changed[mask <= 127] == 9).all()


def test_crowd_holds_several_heads_and_an_exact_mask(drawn):
    people = [(image, mask, np.ones(mask.shape, np.float32)) for image, mask in drawn[:4]]
    image, mask = crowd(people, np.zeros((10, 10, 3), np.uint8), 640, np.random.default_rng(5))
    assert image.shape == (640, 640, 3) and mask.shape == (640, 640)
    assert (mask[image.sum(2) == 0] == 0).all()  # no hair where only background is
    assert 0.003 < (mask > 127).mean() < 0.5


def test_collage_takes_mask_and_image_from_the_same_place():
    ones, zeros = np.ones((32, 32, 3), np.float32), np.zeros((32, 32, 3), np.float32)
    image, mask = collage((ones, ones[..., 0]), (zeros, zeros[..., 0]), np.random.default_rng(3))
    np.testing.assert_array_equal(image[..., 0], mask)
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize("seed", range(6))
def test_rendered_people_repeat_and_their_masks_are_alphas(seed):
    image, mask = render_person(SIDE, np.random.default_rng(seed))
    again = render_person(SIDE, np.random.default_rng(seed))
    assert image.shape == (SIDE, SIDE, 3) and mask.shape == (SIDE, SIDE) and image.dtype == mask.dtype == np.uint8
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(mask, again[1])


def test_rendered_sets_hold_what_they_should():
    shares = [(render_person(SIDE, np.random.default_rng(seed))[1] > 127).mean() for seed in range(60)]
    assert 0.02 < np.mean(shares) < 0.3 and 3 <= np.sum(np.array(shares) == 0) <= 25
    assert not any(render_surface(64, np.random.default_rng(seed))[1].any() for seed in range(4))


# Networks


@pytest.mark.parametrize(
    ("channels", "side", "kernel", "stride", "padding"),
    [(6, 9, 5, 1, 2), (6, 10, 3, 1, 1), (5, 11, 5, 2, 0), (4, 12, 3, 2, 0)],
)
def test_depthwise_gradients_are_pytorchs_own(channels, side, kernel, stride, padding):
    torch.manual_seed(0)
    shapes = ((2, channels, side, side), (channels, 1, kernel, kernel), (channels,))
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    expected = F.conv2d(*inputs, stride, padding, groups=channels)
    ours = DepthwiseConv.apply(*inputs, stride, padding)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(ours, expected)
    for one, other in zip(torch.autograd.grad(expected, inputs, grad), torch.autograd.grad(ours, inputs, grad)):
        torch.testing.assert_close(one, other)


def test_imagenet_weights_recognize_a_cat():
    """Folding, padding and order are right when the published classifier on top still works."""
    import skimage.data

    path = imagenet_file("lite2")
    encoder = Encoder(ENCODERS["lite2"]).eval()
    encoder.load_imagenet(path)
    state = torch.load(path, weights_only=True)
    norm = {key: state[f"_bn1.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
    image = cv2.resize(skimage.data.chelsea(), (256, 256), interpolation=cv2.INTER_AREA)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        x = F.conv2d(encoder(x)[-1], state["_conv_head.weight"])
        x = F.batch_norm(x, norm["running_mean"], norm["running_var"], norm["weight"], norm["bias"], eps=1e-3)
        p = F.linear(F.relu6(x).mean((2, 3)), state["_fc.weight"], state["_fc.bias"]).softmax(1)[0]
    assert p[281:286].sum() > 0.9  # ImageNet's five kinds of domestic cat


def test_another_encoders_weights_are_refused():
    with pytest.raises(ValueError, match="name the file that belongs to this encoder"):
        Encoder(ENCODERS["mobilenetv2"]).load_imagenet(imagenet_file("lite2"))


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_gives_a_map_of_the_inputs_size(decoder):
    with torch.no_grad():
        assert HairNet("lite0", decoder).eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)


# Things: pictures without hair, composed


@pytest.fixture
def pictures(tmp_path):
    """A red disc as an animal, a green one as another thing, a blue scenery, and what must be left out."""
    y, x = np.mgrid[:200, :200]
    alpha = np.where((y - 100) ** 2 + (x - 100) ** 2 < 80**2, 255, 0).astype(np.uint8)
    for place, color in (("animals/a", (0, 0, 255)), ("food/b", (0, 255, 0)), ("people/c", (255, 255, 255))):
        path = tmp_path / "pictures" / f"{place}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.dstack([np.full((200, 200, 3), color, np.uint8), alpha]))
    cv2.imwrite(str(tmp_path / "pictures" / "scenery.png"), np.full((700, 1000, 3), (255, 0, 0), np.uint8))
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_things_are_sorted_and_people_left_out(pictures):
    animals, others, sceneries = things.read_pictures([pictures])
    assert [len(of) for of in (animals, others, sceneries)] == [1, 1, 1]
    assert animals[0][100, 100].tolist() == [255, 0, 0, 255] and animals[0][0, 0, 3] == 0
    with pytest.raises(FileNotFoundError, match="no sceneries"):
        things.read_pictures([pictures / "animals"])


def test_things_are_composed_of_their_pictures_only(pictures):
    parts = things.read_pictures([pictures])
    animals, others = 0, 0
    for seed in range(12):
        image = things.compose(*parts, np.random.default_rng(seed))
        assert image.shape == (things.SIDE, things.SIDE, 3) and image.dtype == np.uint8
        assert np.array_equal(image, things.compose(*parts, np.random.default_rng(seed)))
        animals += (image == (255, 0, 0)).all(axis=2).any()
        others += (image == (0, 255, 0)).all(axis=2).any()
    assert animals >= 4 and others >= 4


def test_things_become_a_data_set_without_hair(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(things, "COUNT", 3)
    monkeypatch.setattr(sys, "argv", ["things", str(pictures), "--out", str(tmp_path)])
    things.main()
    pairs = find_pairs(tmp_path, ("things",))
    assert len(pairs) == 3
    for pair in pairs:
        mask = cv2.imread(str(pair.mask), cv2.IMREAD_UNCHANGED)
        assert cv2.imread(str(pair.image)).shape == (*mask.shape, 3) and not mask.any()


# Training


def test_training_restarts_where_it_stopped_and_the_model_runs(data, tmp_path):
    first = dataclasses.replace(TINY, phases=TINY.phases[:1])
    checkpoint = train.train(first, data, None, tmp_path / "tiny")
    assert torch.load(checkpoint, weights_only=True)["step"] == 3
    train.train(TINY, data, None, tmp_path / "tiny")
    state = torch.load(checkpoint, weights_only=True)
    assert state["step"] == 6 and [entry["step"] for entry in state["log"]] == [3, 6]
    assert (tmp_path / "tiny" / "curves.png").stat().st_size > 5000

    export.export(TINY, checkpoint, data, tmp_path, datasets=("figaro1k", "ccp"))
    card = choose_card("tiny", tmp_path)
    assert card.details["terms"] == "For tests." and card.details["accuracy"]["ccp"]["photos"] >= 1
    p = segment(np.full((64, 96, 3), 0.5, np.float32), open_session(card, "cpu"))
    assert p.shape == (64, 96) and 0 < p.min() <= p.max() < 1


def test_a_frozen_encoder_does_not_move(data, tmp_path):
    recipe = dataclasses.replace(TINY, frozen=True, phases=(Phase(64, 2, 2),))
    before = train.build(recipe, None).state_dict()
    state = torch.load(train.train(recipe, data, None, tmp_path), weights_only=True)["network"]
    assert all(torch.equal(before[key], state[key]) for key in before if key.startswith("encoder."))
    assert not torch.equal(before["head.weight"], state["head.weight"])


def test_a_recipe_goes_on_from_anothers_encoder(data, tmp_path, monkeypatch):
    first = dataclasses.replace(TINY, name="first", phases=(Phase(64, 2, 2),))
    second = dataclasses.replace(TINY, name="second", start="first", decoder="fpn", phases=(Phase(64, 2, 1),))
    monkeypatch.setattr(program, "RECIPES", {"first": first, "second": second})
    checkpoint = program.run(second, data, tmp_path, None)
    assert checkpoint == tmp_path / "second" / "checkpoint.pt"
    trained = torch.load(tmp_path / "first" / "checkpoint.pt", weights_only=True)["average"]
    start = train.build(second, tmp_path / "first" / "checkpoint.pt").encoder.state_dict()
    random = train.build(dataclasses.replace(second, start="random"), None).encoder.state_dict()
    assert start.keys() == random.keys()
    assert all(torch.equal(value, trained[f"encoder.{key}"]) for key, value in start.items())
    assert not any(torch.equal(start[key], random[key]) for key in start if key.endswith("conv.weight"))


def test_export_folds_rounds_and_agrees_with_pytorch(tmp_path):
    torch.manual_seed(3)
    network = HairNet("lite0").eval()
    for module in network.modules():  # statistics as after training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = torch.sigmoid(network(x))
        after = torch.sigmoid(export.fold_and_round(network)(x))
    assert (before - after).abs().max() < 2e-3
    export.write_onnx(network, tmp_path / "n.onnx")
    stored = {t.name: t.data_type for t in onnx.load(tmp_path / "n.onnx").graph.initializer}
    large = [kind for name, kind in stored.items() if name.endswith(".float16")]
    assert len(large) > 40 and set(large) == {onnx.TensorProto.FLOAT16}
    assert (tmp_path / "n.onnx").stat().st_size < 2.3 * sum(p.numel() for p in network.parameters())


def test_styles_go_by_frame_number():
    records = [{"name": f"Frame{n:05}.jpg", "iou": v} for n, v in ((1, 0.5), (150, 0.7), (151, 1.0), (1050, 0.2))]
    assert figaro_styles(records) == {"straight": 0.6, "wavy": 1.0, "short": 0.2}


def test_measure_and_its_tables(data, session):
    figures = measure(session, data, datasets=("figaro1k", "ccp"))
    text = format_tables(figures)
    assert f"{figures['ccp']['iou']:.3f}" in text and "straight" in text and json.dumps(figures)


def test_every_recipe_says_what_its_weights_may_be_used_for():
    assert sum(recipe.default for recipe in RECIPES.values()) == 1
    for recipe in RECIPES.values():
        assert recipe.label and recipe.description and len(recipe.terms) > 100
        assert (
            recipe.encoder in ENCODERS
            and recipe.decoder in DECODERS
            and sum(recipe.sets.values()) == pytest.approx(1, abs=0.03)
        )


# What the labels allow


def test_pieces_that_touch_no_label_are_dropped():
    found, truth = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    found[2:8, 2:8] = found[10:14, 20:25] = True
    truth[6:9, 6:12] = True
    kept = labels.drop_pieces_off(found, truth)
    assert kept[2:8, 2:8].all() and kept.sum() == 36
    assert not labels.drop_pieces_off(found, np.zeros_like(truth)).any()


def test_the_outlines_band_is_two_pixels_to_either_side():
    truth = np.zeros((30, 30), bool)
    truth[10:20, 10:20] = True
    clear = labels.off_the_outline(truth)
    row = clear[15]
    assert row[:8].all() and not row[8:12].any() and row[12:18].all() and not row[18:22].any() and row[22:].all()
