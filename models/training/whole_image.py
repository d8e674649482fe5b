"""The whole-image networks, hair-u-lite2 and hair-u-lite2-free: recipes, samples, loss, start, export.

A network tells five classes apart: hair, headwear, skin, clothes, rest. The product shows the
first, and tells from all of them which way up a photo is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from hairmask_core.segmentation.whole_image import QUALITIES
from synthetic.people import render_person
from synthetic.surfaces import render_surface

from . import hard_cases as hard
from .augmentation import change_look, random_view
from .datasets import (
    ANY,
    CLASSES,
    CLOTHES,
    HEADWEAR,
    OTHERS,
    REST,
    find_samples,
    label_alpha,
    read_sample,
    share_of,
)  # fmt: skip
from .export import check_terms, file_entry, fold_and_round, measure_into, research_terms, write_card, write_onnx
from .network import ENCODERS, HairNet, imagenet_file
from .trainer import Phase, Plan, Samples, checkpoint_path, read_average, train

CACHE_LONG_SIDE = 576  # photos are kept in memory at this size
PROGRAMS = {"rendered": (render_person, 800), "surface": (render_surface, 300)}  # sets that are drawn, not read
RENDERED_SIDE = 384
CHOSEN_BY = ("figaro1k", "celebamask", "celebahq", "ccp", "facesynthetics", "nohair")
DERIVED = ("hats", "hairless")  # sets that are chosen from others
ALIGNED = ("celebamask", "celebahq")  # portraits aligned by their faces: hats fit from one to another
HAT_SHARE = 0.01  # of the pixels, from which a photo counts as one of headwear
HAIRLESS_SHARE = 0.002  # of the pixels, below which a photo counts as one of somebody without hair
LEAST_HAIR = 200  # pixels of a photo that a person is cut out of
UNFOLDED_ON = 24  # samples that batch normalisations are measured on

# How often things are done to a sample.
PUT_ON_HAT, NEW_CLOTHES, NEW_HAT_CLOTH, NEW_BACKGROUND, CROWD, COLLAGE = 0.22, 0.10, 0.25, 0.10, 0.05, 0.05
DRAWN_HATS = 0.5  # of those that are put on


@dataclass(frozen=True)
class Recipe:
    """One network: everything that is needed to make it again.

    sets: how often each is drawn, as a share of the samples. PROGRAMS' are drawn; DERIVED's are the photos
    of ALIGNED and facesynthetics that show headwear, and those without hair; "things" is what negatives.py composes.
    encoder, decoder: keys of network.ENCODERS and network.DECODERS. start: of the encoder, "imagenet" or "random";
    frozen: it stays as it starts. long_side: working scale of the product, pixels.
    label, description, terms, default, matting: for the card; the label stands in GIMP's dialog, matting names the card
    of the network that refines the maps, where that card is.
    """

    name: str
    sets: dict[str, float]
    plan: Plan
    encoder: str = "lite2"
    decoder: str = "unet"
    start: str = "imagenet"
    frozen: bool = False
    long_side: int = 320
    label: str = ""
    description: str = "whole-image hair segmentation"
    terms: str = ""
    default: bool = False
    matting: str | None = None


def plan(*phases: tuple[int, int, int], seed: int = 16) -> Plan:
    """Of whole-image networks: half the rate for the encoder, constant for a little more than half."""
    return Plan(
        tuple(Phase(*phase) for phase in phases),
        rate=4e-4,
        seed=seed,
        slower=(("encoder.", 0.5),),
        cooling=0.45,
        averaging=0.999,
    )


FREE_TERMS = (
    "Trained on Clothing Co-Parsing (published under Apache-2.0; rights in its photographs are not discussed there), "
    "on pictures drawn by our own program, and, for what is no hair, on pictures composed of Debian's tuxpaint-stamps "
    "and wallpaper packages (GPL-2 and later, CC-BY-SA), starting from EfficientNet-Lite weights that were published "
    "under Apache-2.0 and trained on ImageNet. No data set whose publisher restricts its use to research was used for "
    "hair. The weights may be used commercially as far as we can tell; the code is GPL-3.0-or-later."
)

# Figaro-1k has the most varied hair and the finest outlines. LFW's superpixel outlines are blocky and take
# beards for hair, so they get less say. Sets without hair teach what hair is not.
EVERYTHING = {
    "figaro1k": 0.29, "celebamask": 0.08, "celebahq": 0.08, "celeba_teacher": 0.01, "hats": 0.08, "hairless": 0.03,
    "ccp": 0.11, "facesynthetics": 0.02, "fasseg": 0.02, "lfw": 0.02, "lfw_more": 0.02, "nohair": 0.12,
    "things": 0.09, "surface": 0.02, "rendered": 0.02,
}  # fmt: skip
# What was published under a free licence, and what programs drew.
FREE_ONLY = {"ccp": 0.45, "rendered": 0.33, "surface": 0.07, "things": 0.15}

RESEARCH = Recipe(
    name="hair-u-lite2",
    label="Most accurate (research data)",
    sets=EVERYTHING,
    # Five hours on two slow cores, from the weights that shipped before. Each phase cooled as if it were the last, the
    # third began at 1.5e-4, and the first two had other shares: see README.md.
    plan=plan((288, 8, 2250), (352, 8, 550), (288, 8, 450)),
    terms=research_terms(EVERYTHING),
    default=True,
    matting="hair-matting",
)
FREE = Recipe(
    name="hair-u-lite2-free",
    label="Freely licensed data only",
    description="whole-image hair segmentation from freely licensed and rendered pictures only",
    sets=FREE_ONLY,
    plan=plan((192, 8, 6000), (256, 8, 2000)),
    long_side=192,  # CCP's heads are small; large hair is found better when it is made small as well
    terms=FREE_TERMS,
)

RECIPES = {recipe.name: recipe for recipe in (RESEARCH, FREE)}


# Samples


def read_sets(recipe: Recipe, data: Path) -> dict[str, list]:
    """The training photos of each set, in memory: image (h, w, 3) and labels (h, w, 2), uint8 (see datasets.py)."""
    photos = {}
    for name in recipe.sets:
        if name in PROGRAMS:
            draw, count = PROGRAMS[name]
            others = REST if name == "surface" else ANY
            made = (draw(RENDERED_SIDE, np.random.default_rng((recipe.plan.seed, i))) for i in range(count))
            photos[name] = [(image, label_alpha(mask, others)) for image, mask in made]
        elif name not in DERIVED:
            photos[name] = [read_sample(sample, CACHE_LONG_SIDE) for sample in find_samples(data, name, "training")]
    portraits = [photo for name in (*ALIGNED, "facesynthetics") if name in photos for photo in photos[name]]
    if "hats" in recipe.sets:
        photos["hats"] = [photo for photo in portraits if share_of(photo[1], HEADWEAR) >= HAT_SHARE]
    if "hairless" in recipe.sets:
        photos["hairless"] = [photo for photo in portraits if (photo[1][..., 0] > 127).mean() < HAIRLESS_SHARE]
    return photos


class Drawing:
    """What makes training samples out of photos; called with a sample's number and generator (see trainer.Samples).

    photos: by set, as `read_sets` gives them. shares: how often each set is drawn. size: side of the samples, pixels.
    """

    def __init__(self, photos: dict[str, list], shares: dict[str, float], size: int):
        self.photos, self.size = photos, size
        self.names = list(shares)
        self.chances = np.array(list(shares.values())) / sum(shares.values())
        self.hats = [photo for photo in photos.get("hats", []) if photo[1].shape[0] == photo[1].shape[1]]
        self.alphas = {}  # of persons cut out before

    def __call__(self, number: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (3, size, size) float32 in -1…1 and labels (2, size, size) uint8."""
        image, labels = self.draw(rng)
        if rng.random() < COLLAGE:
            image, labels = hard.collage((image, labels), self.draw(rng), rng)
        image = change_look(image, labels, rng)
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(labels).permute(2, 0, 1)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A view of a photo, hard cases included: (size, size, 3) and (size, size, 2) uint8."""
        if rng.random() < CROWD:
            people = [self.person(rng) for _ in range(rng.integers(2, 7))]
            return random_view(*hard.crowd(people, *self.background(rng), CACHE_LONG_SIDE, rng), self.size, rng)
        name, which = self.choose(rng)
        image, labels = self.photos[name][which]
        if name in ALIGNED and self.hats and rng.random() < PUT_ON_HAT:
            if rng.random() < DRAWN_HATS:
                image, labels = hard.draw_on_hat(image, labels, lambda: self.texture(rng), rng)
            else:
                image, labels = hard.put_on_hat(image, labels, *self.hats[rng.integers(len(self.hats))], rng)
        for bit, chance in ((CLOTHES, NEW_CLOTHES), (HEADWEAR, NEW_HAT_CLOTH)):
            if rng.random() < chance and (labels[..., 1] == bit).any():
                image, labels = hard.retexture(image, labels, bit, self.texture(rng), rng)
        if rng.random() < NEW_BACKGROUND and (labels[..., 0] > 127).sum() > LEAST_HAIR:
            as_it_was = labels is self.photos[name][which][1]
            alpha = self.alpha(name, which) if as_it_was else hard.person_of(image, labels, which)
            image, labels = hard.before_background(image, labels, alpha, *self.background(rng), rng)
        return random_view(image, labels, self.size, rng)

    def choose(self, rng: np.random.Generator) -> tuple[str, int]:
        name = self.names[rng.choice(len(self.names), p=self.chances)]
        return name, int(rng.integers(len(self.photos[name])))

    def person(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A photo with hair, its labels, and the person's alpha."""
        while True:
            name, which = self.choose(rng)
            image, labels = self.photos[name][which]
            if (labels[..., 0] > 127).sum() > LEAST_HAIR:
                return image, labels, self.alpha(name, which)

    def alpha(self, name: str, which: int) -> np.ndarray:
        if (name, which) not in self.alphas:
            person = hard.person_of(*self.photos[name][which], which)
            self.alphas[name, which] = (person * 255).astype(np.uint8)
        return self.alphas[name, which].astype(np.float32) / 255

    def background(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A picture without hair, and its labels."""
        empty = [name for name in ("nohair", "things") if name in self.photos]
        if empty and rng.random() < 0.7:
            among = self.photos[empty[rng.integers(len(empty))]]
            return among[rng.integers(len(among))]
        return hard.surface(rng)

    def texture(self, rng: np.random.Generator) -> np.ndarray:
        return self.background(rng)[0] if rng.random() < 0.5 else hard.draw_material(rng)


# Loss and figures


def class_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with labels that name a set of classes, plus soft Dice of the hair (Milletari et al. 2016).

    logits: (N, 5, H, W). labels: (N, 2, H, W) uint8, as in datasets.py. The probability of "one of these" is the sum of
    theirs (Jin, Ghahramani 2002, "Learning with multiple labels").
    """
    hair, others = labels[:, 0].float() / 255, labels[:, 1]
    known = (others != 0).float()
    bits = torch.tensor(list(OTHERS.values()), dtype=torch.uint8, device=labels.device).view(1, -1, 1, 1)
    log_p = F.log_softmax(logits, dim=1)
    not_hair = torch.logsumexp(log_p[:, 1:].masked_fill((others[:, None] & bits) == 0, -1e4), dim=1)
    entropy = -(hair * log_p[:, 0] + (1 - hair) * torch.where(hair < 1, not_hair, torch.zeros_like(not_hair))) * known
    p, truth = log_p[:, 0].exp() * known, hair * known
    smooth = 1e-3 * truth[0].numel()  # keeps photos without hair from demanding an exact zero
    dice = 1 - (2 * (p * truth).sum((1, 2)) + smooth) / (p.sum((1, 2)) + truth.sum((1, 2)) + smooth)
    return entropy.sum() / known.sum().clamp(min=1) + dice.mean()


@torch.no_grad()
def find_hair(network: nn.Module, image: np.ndarray, long_side: int) -> np.ndarray:
    """One pass at the working scale: (h, w, 3) uint8 -> hair probability (h, w) float32, 0…1.

    The photo stands in a square of long_side pixels, a multiple of 32, whatever its shape: on CPUs oneDNN keeps what it
    prepares for each shape, which comes to gigabytes.
    """
    device = next(network.parameters()).device
    height, width = image.shape[:2]
    scale = long_side / max(height, width)
    size = [max(32, round(side * scale / 32) * 32) for side in (width, height)]
    proxy = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x = torch.zeros(1, 3, long_side, long_side)
    x[0, :, : size[1], : size[0]] = torch.from_numpy(proxy).permute(2, 0, 1).float() / 127.5 - 1
    p = torch.softmax(network(x.to(device, memory_format=torch.channels_last)), dim=1)[0, 0].cpu().numpy()
    return cv2.resize(p[: size[1], : size[0]], (width, height), interpolation=cv2.INTER_LINEAR)


def choice_figures(network: nn.Module, photos: dict[str, list], long_side: int) -> dict:
    """One pass over each photo: IoU of each set, and the shares of what is taken for hair and is another class."""
    network.eval()
    figures, taken, seen = {}, dict.fromkeys(OTHERS, 0), dict.fromkeys(OTHERS, 0)
    for name, pairs in photos.items():
        scores, false = [], []
        for image, labels in pairs:
            found, truth = find_hair(network, image, long_side) >= 0.5, labels[..., 0] > 127
            if truth.any():
                scores.append((found & truth).sum() / (found | truth).sum())
            else:
                false.append(found.mean())
            for kind, bit in OTHERS.items():
                where = (labels[..., 1] == bit) & ~truth
                taken[kind] += int(found[where].sum())
                seen[kind] += int(where.sum())
        if scores:
            figures[name] = {"iou": float(np.mean(scores)), "under_0.7": float(np.mean(np.array(scores) < 0.7))}
        if false:
            figures[f"{name} without hair"] = float(np.mean(false))
    return figures | {f"{kind} taken for hair": taken[kind] / max(seen[kind], 1) for kind in OTHERS}


# From start to model


def build(recipe: Recipe, imagenet: Path | None = None) -> HairNet:
    """The recipe's network as training finds it. imagenet: the encoder's weights, where no package brings them."""
    torch.manual_seed(recipe.plan.seed)
    network = HairNet(recipe.encoder, recipe.decoder, classes=len(CLASSES))
    if recipe.start == "imagenet":
        network.encoder.load_imagenet(imagenet or imagenet_file(recipe.encoder))
    if recipe.frozen:
        network.encoder.requires_grad_(False)
    return network


def start_from_onnx(network: HairNet, path: Path, samples: torch.Tensor) -> None:
    """Fill the network with an exported one's weights.

    Of a file that has five classes everything is taken. Of one that knew hair alone the head for hair is, and the other
    classes begin at it. Exported batch normalisations are folded; they are unfolded so that the network gives what
    the file gives: mean and spread of each layer are measured on `samples`, images (N, 3, H, W) in -1…1, one layer
    after the other.
    """
    tensors = {t.name: numpy_helper.to_array(t).astype(np.float32) for t in onnx.load(path).graph.initializer}
    arrays = {name.removesuffix(".float16").removeprefix("network."): value for name, value in tensors.items()}
    network.eval()

    def fill(module: nn.Conv2d, name: str) -> None:
        module.weight.data.copy_(torch.from_numpy(arrays[f"{name}.weight"]))
        if module.bias is not None:
            module.bias.data.copy_(torch.from_numpy(arrays[f"{name}.bias"]))

    def unfold(norm: nn.BatchNorm2d, inputs: tuple, bias: torch.Tensor) -> None:
        mean, var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.data.copy_(torch.sqrt(var + norm.eps))
        norm.bias.data.copy_(bias + mean)

    hooks = []
    names = {module: name for name, module in network.named_modules()}
    for parent in network.modules():
        if isinstance(parent, nn.Sequential):
            for first, second in zip(parent, list(parent)[1:], strict=False):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    fill(first, names[first])
                    bias = torch.from_numpy(arrays[f"{names[first]}.bias"])
                    hooks.append(second.register_forward_pre_hook(lambda norm, x, bias=bias: unfold(norm, x, bias)))
    for name, module in network.encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            fill(module, f"encoder.{name}")
    weight, bias = (torch.from_numpy(arrays[f"head.{part}"]) for part in ("weight", "bias"))
    if len(weight) == len(CLASSES):
        fill(network.head, "head")
    else:  # log odds of hair become the difference between hair and all others, which begin with a quarter each
        network.head.weight.data.normal_(0, 1e-3)[0] += weight[0]
        network.head.bias.data.fill_(-float(np.log(len(CLASSES) - 1)))[0] = bias[0]
    with torch.no_grad():
        network(samples)
    for hook in hooks:
        hook.remove()


def run(recipe: Recipe, data: Path, out: Path, start: Path | None = None, imagenet: Path | None = None) -> Path:
    """Train by the recipe, or go on from the last checkpoint in `out`; returns the checkpoint's path.

    data: folder of data sets (see datasets.py). start: an exported network to begin with, a file of `export`.
    Raises FileNotFoundError for missing photos, ValueError for another encoder's ImageNet weights and for a start that
    has learned from data that the recipe does not name.
    """
    if start:
        check_terms(start, recipe.sets)
    photos = read_sets(recipe, data)
    choices = {
        name: [read_sample(sample, CACHE_LONG_SIDE) for sample in find_samples(data, name, "choice")]
        for name in CHOSEN_BY
        if name in recipe.sets
    }
    print({name: len(of) for name, of in (photos | {f"choice {n}": p for n, p in choices.items()}).items()}, flush=True)
    network = build(recipe, imagenet)
    if start and not checkpoint_path(out).exists():
        samples = Samples(Drawing(photos, recipe.sets, recipe.plan.phases[0].size), recipe.plan.seed + 1)
        start_from_onnx(network, start, torch.stack([samples[i][0] for i in range(UNFOLDED_ON)]))
    return train(
        recipe.plan,
        network,
        lambda phase: Drawing(photos, recipe.sets, phase.size),
        class_loss,
        out,
        lambda average: choice_figures(average, choices, recipe.long_side),
    )


class ClassProbabilities(nn.Module):
    """What ships: RGB (N, 3, H, W) in -1…1 -> probabilities of CLASSES (N, 5, H, W)."""

    def __init__(self, network: HairNet):
        super().__init__()
        self.network = network

    def forward(self, rgb):
        return torch.softmax(self.network(rgb), dim=1)


def export(recipe: Recipe, checkpoint: Path, data: Path, out: Path, sets: tuple[str, ...] | None = None) -> None:
    """Write `out/NAME.onnx` and `out/NAME.json`; the figures in the card are those of the photos kept for reports."""
    network = read_average(HairNet(recipe.encoder, recipe.decoder, classes=len(CLASSES)), checkpoint)
    path = out / f"{recipe.name}.onnx"
    write_onnx(ClassProbabilities(fold_and_round(network)), path)
    phases = ", then ".join(f"{p.steps} steps of {p.batch} samples at {p.size} px" for p in recipe.plan.phases)
    card = {
        "name": recipe.name,
        "label": recipe.label,
        "description": f"{recipe.description} ({ENCODERS[recipe.encoder].title} encoder, {recipe.decoder} decoder)",
        "task": "whole-image",
        "default": recipe.default,
        **file_entry(path),
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "parameters": sum(p.numel() for p in network.parameters()),
        "input": {
            "layout": "NCHW",
            "dtype": "float32",
            "color": "RGB, sRGB-encoded, 0 to 1",
            "long_side": recipe.long_side,
            "multiple": 32,
            "mean": 0.5,
            "scale": 2.0,
        },
        "output": f"probabilities of {', '.join(CLASSES)}, NCHW, float32, 0 to 1, the size of the input",
        "training": f"python -m models.training {recipe.name}: {phases}",
        "training_data": sorted(recipe.sets.keys() - set(DERIVED)),
        "terms": recipe.terms,
    }
    if recipe.matting and (out / f"{recipe.matting}.json").exists():
        card["matting"] = recipe.matting
    write_card(card, out)
    for quality in QUALITIES:
        measure_into(card, out, data, sets, quality)


def make(recipe: Recipe, data: Path, out: Path, models: Path, start: Path | None = None) -> None:
    """Train and export."""
    export(recipe, run(recipe, data, out, start), data, models)
