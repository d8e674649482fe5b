"""The whole-image networks: architecture, labels that name several classes, start, restart, export, figures."""

import dataclasses
import json
import shutil
import sys

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from hairmask_core.inference.cards import choose_card, models_folder
from hairmask_core.inference.network import open_network
from hairmask_core.segmentation.whole_image import segment
from models.training import __main__ as program
from models.training import export, trainer, whole_image
from models.training.datasets import (
    ANY,
    CLASSES,
    CLOTHES,
    HEADWEAR,
    LEFT_OUT,
    PARTS,
    REST,
    SKIN,
    find_samples,
    part_of,
)  # fmt: skip
from models.training.depthwise import DepthwiseConv
from models.training.measure import Taken, choose_samples, figaro_styles, format_tables, measure
from models.training.network import DECODERS, ENCODERS, Encoder, HairNet, imagenet_file
from models.training.studies import architectures, label_limits, quantization
from models.training.trainer import Phase, Samples
from models.training.whole_image import RECIPES, Recipe, class_loss
from synthetic.people import render_person

SIDE = 96
NAMES = ["background", "skin", "hat", "clothes", "hair"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Drawn people as three data sets, one with classes, and one of empty pictures; each part has photos of all."""
    root = tmp_path_factory.mktemp("data")
    people = (render_person(SIDE, np.random.default_rng(seed)) for seed in range(60))
    people = [(image, mask) for image, mask in people if (mask > 127).sum() > 250]
    names = [f"Frame{number:05}" for number in range(1, 200)]
    parts = {part: [name for name in names if part_of(name) == part] for part in PARTS}
    stems = [*parts["training"][:3], *parts["report"][:2], *parts["choice"][:2]]
    for name in ("figaro1k", "celebamask", "ccp", "nohair"):
        for part in ("images", "masks", "parsing"):
            (root / name / part).mkdir(parents=True)
        for stem, (image, mask) in zip(stems, people, strict=False):
            hair = mask > 127 if name != "nohair" else np.zeros(mask.shape, bool)
            classes = np.full(mask.shape, 1, np.uint8)
            classes[:8], classes[12:24], classes[72:], classes[hair] = 0, 2, 3, 4
            cv2.imwrite(str(root / name / "images" / f"{stem}.jpg"), image[..., ::-1])
            cv2.imwrite(str(root / name / "masks" / f"{stem}.png"), hair.astype(np.uint8) * 255)
            if name == "celebamask":
                cv2.imwrite(str(root / name / "parsing" / f"{stem}.png"), classes)
    (root / "celebamask" / "classes.json").write_text(json.dumps(NAMES))
    return root


TINY = Recipe(
    name="tiny",
    label="Tiny",
    terms="For tests.",
    sets={"figaro1k": 0.4, "celebamask": 0.3, "hats": 0.1, "nohair": 0.2},
    plan=dataclasses.replace(whole_image.plan((64, 2, 2), (96, 2, 2)), warm_up=2, log_every=2),
    encoder="lite0",
    start="random",
    long_side=96,
)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Samples are made in this process, no curves are drawn, and few and small pictures are looked at."""
    monkeypatch.setattr(trainer, "WORKERS", 0)
    monkeypatch.setattr(trainer, "plot", lambda *of: None)
    monkeypatch.setattr(whole_image, "UNFOLDED_ON", 2)
    monkeypatch.setattr(export, "IMAGES", ((64, 96), (32, 64)))


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
    for one, other in zip(
        torch.autograd.grad(expected, inputs, grad), torch.autograd.grad(ours, inputs, grad), strict=True
    ):
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
def test_every_decoder_gives_maps_of_the_inputs_size(decoder):
    with torch.no_grad():
        assert HairNet("lite0", decoder, classes=5).eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 5, 64, 96)


# Loss and figures


def make_labels(hair, others):
    return torch.tensor([[hair, others]], dtype=torch.uint8)[:, :, None]


def test_the_loss_is_least_where_the_labels_are_met():
    logits = torch.zeros(1, 5, 1, 4)
    logits[0, [0, 2, 4, 1], 0, torch.arange(4)] = 20.0  # hair, skin, rest, headwear
    right = make_labels([255, 0, 0, 0], [SKIN, SKIN, ANY, HEADWEAR | CLOTHES])
    assert class_loss(logits, right) < 1e-3
    for wrong in ([0, 0, 0, 0], [SKIN, SKIN, ANY, HEADWEAR]), ([255, 0, 0, 0], [SKIN, CLOTHES, ANY, HEADWEAR]):
        assert class_loss(logits, make_labels(*wrong)) > 1


def test_a_label_of_several_classes_asks_for_the_sum_of_their_probabilities():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 5, 1, 3), make_labels([0, 0, 0], [SKIN | REST, ANY, HEADWEAR])
    p = logits.softmax(1)[0, :, 0]
    expected = -(torch.log(torch.stack([p[2, 0] + p[4, 0], 1 - p[0, 1], p[1, 2]])).mean())
    smooth = 1e-3 * 3
    dice = 1 - smooth / (p[0].sum() + smooth)
    assert class_loss(logits, labels).item() == pytest.approx((expected + dice).item(), rel=1e-5)


def test_pixels_that_are_left_out_do_not_count():
    torch.manual_seed(1)
    logits = torch.randn(1, 5, 1, 4, requires_grad=True)
    class_loss(logits, make_labels([255, 0, 255, 0], [ANY, LEFT_OUT, LEFT_OUT, REST])).backward()
    moved = logits.grad.abs().sum(1)[0, 0] > 0
    assert moved.tolist() == [True, False, False, True]


class Bright(torch.nn.Module):
    """A network that takes what is bright for hair."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(50.0))

    def forward(self, x):
        hair = self.scale * x.mean(1, keepdim=True)
        return torch.cat([hair, torch.zeros_like(hair).expand(-1, 4, -1, -1)], 1)


def test_figures_say_what_was_taken_for_hair():
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 48:] = 255
    others = np.full((64, 96), REST, np.uint8)
    others[32:, 48:] = HEADWEAR
    half = np.where((np.arange(96) >= 48) & (np.arange(64)[:, None] < 32), 255, 0).astype(np.uint8)
    photos = {"a": [(image, np.stack([half, others], 2)), (image, np.stack([half * 0, others], 2))]}
    figures = whole_image.choice_figures(Bright(), photos, 96)
    assert figures["a"] == {"iou": pytest.approx(0.5, abs=0.02), "under_0.7": 1.0}
    assert figures["a without hair"] == pytest.approx(0.5, abs=0.02)
    assert figures["headwear taken for hair"] == 1 and figures["skin taken for hair"] == 0
    # The left halves of both and, in the second, a quarter that is bright.
    assert figures["rest taken for hair"] == pytest.approx(32 / (32 + 64 + 64), abs=0.02)


def test_taken_pixels_are_counted_where_their_class_is_certain():
    taken = Taken()
    labels = np.array([[[0, SKIN], [0, SKIN], [255, SKIN], [0, ANY], [0, LEFT_OUT], [0, REST]]], np.uint8)
    taken.add(np.array([[True, False, True, True, True, False]]), labels)
    assert taken.shares() == {"skin": 0.5, "rest": 0.0}


# Training


def read(path):
    return torch.load(path, weights_only=True)


@pytest.mark.training
def test_training_goes_on_where_it_stopped_to_the_bit(data, tmp_path, monkeypatch):
    whole = read(whole_image.run(TINY, data, tmp_path / "whole"))
    original = trainer.save

    def save(path, state):
        original(path, state)
        if state["step"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "CHECKPOINT_SECONDS", 0)
        patched.setattr(trainer, "save", save)
        with pytest.raises(KeyboardInterrupt):
            whole_image.run(TINY, data, tmp_path / "tiny")
    monkeypatch.setattr(trainer, "WORKERS", 1)
    checkpoint = whole_image.run(TINY, data, tmp_path / "tiny")
    parts = read(checkpoint)
    for name in ("network", "average"):
        assert all(torch.equal(value, parts[name][key]) for key, value in whole[name].items())
    assert parts["step"] == 4 and [entry["step"] for entry in parts["log"]] == [0, 2, 4]
    assert {"figaro1k", "celebamask", "nohair without hair", "headwear taken for hair"} <= parts["log"][-1].keys()

    for name in ("hair-matting.json", "hair-matting.onnx"):  # whose card is named where it is there
        shutil.copy(models_folder() / name, tmp_path)
    recipe = dataclasses.replace(TINY, matting="hair-matting")
    monkeypatch.setattr(export, "measure", lambda model, data, quality, sets: {"ccp": {"photos": 2}})
    monkeypatch.setattr(export, "format_tables", lambda figures: "")
    whole_image.export(recipe, checkpoint, data, tmp_path)
    details = json.loads((tmp_path / "tiny.json").read_text())
    assert details["terms"] == "For tests." and details["matting"] == "hair-matting"
    assert details["training_data"] == ["celebamask", "figaro1k", "nohair"]
    assert details["accuracy"] == details["accuracy_best"] == {"ccp": {"photos": 2}}
    card = choose_card("tiny", tmp_path)
    p = segment(np.full((64, 96, 3), 0.5, np.float32), open_network(card.network, "cpu"))
    assert p.shape == (64, 96) and 0 < p.min() <= p.max() < 1

    samples = torch.stack([Samples(whole_image.Drawing(whole_image.read_sets(TINY, data), TINY.sets, 64), 9)[0][0]] * 2)
    again = whole_image.build(TINY)  # what --start does with a file that has all classes
    whole_image.start_from_onnx(again, card.network.path, samples)
    trained = trainer.read_average(whole_image.build(TINY), checkpoint)
    with torch.no_grad():
        torch.testing.assert_close(again(samples).softmax(1), trained(samples).softmax(1), atol=5e-3, rtol=0)
    with pytest.raises(ValueError, match="has learned from nohair, which the recipe does not name"):
        whole_image.run(
            dataclasses.replace(TINY, sets={"figaro1k": 0.5, "celebamask": 0.5}), data, tmp_path, card.network.path
        )


def test_a_file_that_knows_hair_alone_starts_five_classes(tmp_path):
    torch.manual_seed(3)
    old, new = HairNet("lite0").eval(), HairNet("lite0", classes=len(CLASSES))
    for module in old.modules():  # statistics as after training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        expected = torch.sigmoid(old(x))
    model = torch.nn.Sequential()
    model.network = export.fold_and_round(old)
    model.sigmoid = torch.nn.Sigmoid()
    export.write_onnx(model, tmp_path / "old.onnx", [x])
    whole_image.start_from_onnx(new, tmp_path / "old.onnx", x)
    with torch.no_grad():
        p = new(x).softmax(1)
    assert (p[:, :1] - expected).abs().max() < 5e-3
    others = p[:, 1:] / p[:, 1:].sum(1, keepdim=True)
    assert (others - 0.25).abs().max() < 0.1


def test_the_shipped_network_starts_the_recipe_that_replaces_it():
    network = whole_image.build(dataclasses.replace(whole_image.RESEARCH, start="random"))
    card = choose_card(whole_image.RESEARCH.name)
    export.check_terms(card.network.path, whole_image.RESEARCH.sets)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    whole_image.start_from_onnx(network, card.network.path, x)
    with torch.no_grad():
        p = network(x).softmax(1).numpy()
    np.testing.assert_allclose(p, open_network(card.network, "cpu").run(x.numpy()), atol=5e-3)


@pytest.mark.training
def test_a_frozen_encoder_does_not_move_and_a_random_one_does(data, tmp_path):
    plan = dataclasses.replace(TINY.plan, phases=(Phase(64, 2, 1),))
    for frozen in (True, False):
        recipe = dataclasses.replace(TINY, frozen=frozen, plan=plan)
        before = whole_image.build(recipe).state_dict()
        state = read(whole_image.run(recipe, data, tmp_path / str(frozen)))["network"]
        assert not torch.equal(before["head.weight"], state["head.weight"])
        assert frozen == all(torch.equal(before[key], state[key]) for key in before if key.startswith("encoder."))


def test_recipes_are_whole_and_say_what_their_weights_may_be_used_for():
    assert sum(recipe.default for recipe in RECIPES.values()) == 1
    for recipe in RECIPES.values():
        assert recipe.label and recipe.description and len(recipe.terms) > 100
        assert recipe.encoder in ENCODERS and recipe.decoder in DECODERS
        assert sum(recipe.sets.values()) == pytest.approx(1, abs=0.03)
    assert "CelebAMask-HQ (non-commercial" in RECIPES["hair-u-lite2"].terms
    assert not {"figaro1k", "celebamask", "celebahq", "nohair"} & RECIPES["hair-u-lite2-free"].sets.keys()


def test_hats_and_the_hairless_are_chosen_among_portraits(data, monkeypatch):
    monkeypatch.setitem(whole_image.PROGRAMS, "rendered", (render_person, 2))
    sets = {"celebamask": 0.5, "figaro1k": 0.1, "hats": 0.1, "hairless": 0.1, "rendered": 0.2}
    photos = whole_image.read_sets(dataclasses.replace(TINY, sets=sets), data)
    assert len(photos["hats"]) == len(photos["celebamask"]) == 3 and photos["hairless"] == []
    assert len(photos["rendered"]) == 2 and photos["rendered"][0][0].shape[0] == whole_image.RENDERED_SIDE
    assert (photos["rendered"][0][1][..., 1] == ANY).all()


def test_samples_are_in_range_and_hard_cases_among_them(data, monkeypatch):
    photos = whole_image.read_sets(TINY, data)
    for name in ("CROWD", "PUT_ON_HAT", "NEW_BACKGROUND", "COLLAGE"):
        monkeypatch.setattr(whole_image, name, 0.5)
    called = []
    for name in ("crowd", "put_on_hat", "retexture", "before_background", "collage"):
        original = getattr(whole_image.hard, name)
        monkeypatch.setattr(
            whole_image.hard, name, lambda *of, name=name, original=original: called.append(name) or original(*of)
        )
    samples = Samples(whole_image.Drawing(photos, TINY.sets, 64), 1)
    for number in range(24):
        image, labels = samples[number]
        assert image.shape == (3, 64, 64) and image.dtype == torch.float32 and image.abs().max() <= 1
        assert labels.shape == (2, 64, 64) and labels.dtype == torch.uint8
    assert set(called) == {"crowd", "put_on_hat", "retexture", "before_background", "collage"}


def test_every_network_has_a_command(tmp_path, monkeypatch):
    called = []
    for module in (program.whole_image, program.patch_classifiers, program.matting):
        monkeypatch.setattr(module, "make", lambda *of, module=module: called.append((module, of)))
    common = ["--data", "data", "--out", str(tmp_path)]
    for name, more in (("hair-u-lite2-free", []), ("hair-texture", []), ("hair-matting", ["--samples", "hair"])):
        monkeypatch.setattr(sys, "argv", ["training", name, *common, *more])
        program.main()
    assert [module for module, _ in called] == [program.whole_image, program.patch_classifiers, program.matting]
    assert called[0][1][0] is RECIPES["hair-u-lite2-free"] and called[0][1][2] == tmp_path / "hair-u-lite2-free"
    for name, more in (
        ("hair-texture", ["--start", "a.onnx"]),
        ("hair-matting", []),
        ("hair-texture", ["--samples", "a"]),
    ):
        monkeypatch.setattr(sys, "argv", ["training", name, *common, *more])
        with pytest.raises(SystemExit):
            program.main()


# Export


def test_export_folds_rounds_and_agrees_with_pytorch(tmp_path):
    torch.manual_seed(3)
    network = HairNet("lite0", classes=5).eval()
    for module in network.modules():  # statistics as after training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    model = whole_image.ClassProbabilities(network)
    with torch.no_grad():
        before = model(x)
        export.fold_and_round(network)
        after = model(x)
    assert before.shape == (1, 5, 64, 64) and (before - after).abs().max() < 3e-3
    export.write_onnx(model, tmp_path / "n.onnx")
    stored = {t.name: t.data_type for t in onnx.load(tmp_path / "n.onnx").graph.initializer}
    large = [kind for name, kind in stored.items() if name.endswith(".float16")]
    assert len(large) > 40 and set(large) == {onnx.TensorProto.FLOAT16}
    assert (tmp_path / "n.onnx").stat().st_size < 2.3 * sum(p.numel() for p in network.parameters())
    with pytest.raises(ValueError, match="differs from PyTorch"):
        export.write_onnx(model, tmp_path / "n.onnx", tolerance=-1)


# Measuring


def test_styles_go_by_frame_number():
    records = [{"name": f"Frame{n:05}.jpg", "iou": v} for n, v in ((1, 0.5), (150, 0.7), (151, 1.0), (1050, 0.2))]
    assert figaro_styles([*records, {"name": "Frame00003.jpg"}]) == {"straight": 0.6, "wavy": 1.0, "short": 0.2}


def test_measure_and_its_tables(data, model):
    figures = measure(model, data, sets=("figaro1k", "celebamask", "nohair"))
    assert [figures[name]["photos"] for name in figures] == [2, 2, 0] and figures["nohair"]["empty_photos"] == 2
    assert figures["celebamask"]["taken_for_hair"].keys() == {"headwear", "skin", "clothes", "rest"}
    assert "taken_for_hair" not in figures["figaro1k"]
    text = format_tables(figures)
    for key in ("iou", "median_iou", "pooled_f1", "pooled_iou"):
        assert f"{figures['celebamask'][key]:.3f}" in text
    assert "straight" in text and "| taken for hair | headwear |" in text and json.dumps(figures)
    assert format_tables({"ccp": figures["celebamask"]})


def test_parts_are_measured_apart(data):
    parts = {part: choose_samples(data, "ccp", part) for part in ("report", "choice", "training")}
    assert [len(parts[part]) for part in parts] == [2, 2, 1]  # every twelfth of those that were learned from
    assert all(sample.part == part for part, chosen in parts.items() for sample in chosen)
    assert len(find_samples(data, "ccp", "training")) == 3


# Studies


@pytest.mark.training
def test_architectures_are_compared(data, tmp_path, monkeypatch):
    base = dataclasses.replace(architectures.BASE, sets={"figaro1k": 1.0}, start="random", encoder="lite0")
    base = dataclasses.replace(base, plan=dataclasses.replace(base.plan, phases=(Phase(64, 2, 1),)))
    monkeypatch.setattr(architectures, "milliseconds", lambda path: 7)
    monkeypatch.setattr(architectures, "SIDE", 96)
    table = architectures.compare((base,), data, tmp_path).splitlines()
    assert len(table) == 3 and table[2].startswith("| EfficientNet-Lite0 | unet | random | 0.")
    assert table[2].endswith("| 57 | 7 |")


def test_what_touches_no_label_is_dropped():
    found, truth = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    found[2:8, 2:8] = found[10:14, 20:25] = True
    truth[6:9, 6:12] = True
    kept = label_limits.drop_apart(found, truth)
    assert kept[2:8, 2:8].all() and kept.sum() == 36
    assert not label_limits.drop_apart(found, np.zeros_like(truth)).any()


def test_the_outlines_band_is_two_pixels_to_either_side():
    truth = np.zeros((30, 30), bool)
    truth[10:20, 10:20] = True
    clear = label_limits.off_the_outline(truth)
    row = clear[15]
    assert row[:8].all() and not row[8:12].any() and row[12:18].all() and not row[18:22].any() and row[22:].all()


def test_float16_says_nearly_the_same(tmp_path, astronaut):
    card = choose_card().network
    quantization.make_float16(card, tmp_path / "half.onnx")
    half = quantization.with_file(card, tmp_path / "half.onnx")
    shipped, other = (quantization.maps(one, [astronaut])[0] for one in (card, half))
    assert (tmp_path / "half.onnx").stat().st_size < 1.1 * card.path.stat().st_size
    assert 0 < np.abs(shipped - other).mean() < 1e-3
