"""The texture engine's model, hair-texture: two patch classifiers, how they are added up, the classifier of pixels.

One classifier looks at the photo at 640 pixels, one at 160. A window is 35x35 pixels; its label is its center pixel's.
Training cuts them in patches of 9x9 neighbouring windows, two pixels apart, which share most of their computation; half
of the patches lie around a pixel of hair, and hair and the rest weigh the same in every batch.

With the classifiers trained, the photos that choices are made by tell how to add up their log odds (logistic
regression), and the sum's uncertain pixels on training photos teach the classifier of pixels (pixel_classifier.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from hairmask_core.evaluation.evaluate import read_mask
from hairmask_core.options import DEFAULT_STEP
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.proxy import make_proxy, proxy_size
from hairmask_core.segmentation.patch import PatchSegmenter, context_map, log_odds
from hairmask_core.segmentation.segmenter import open_model
from hairmask_core.segmentation.sliding_window import dense_map, interpolate_map

from . import pixel_classifier
from .augmentation import change_look, warp
from .datasets import LEFT_OUT, Sample, find_samples, read_sample, some
from .export import file_entry, fold_and_round, measure_into, research_terms, write_card, write_onnx
from .patch_network import STRIDE, WINDOW, PatchNet, count_operations, dilate
from .trainer import Phase, Plan, read_average, train

NAME = "hair-texture"
SIDE_SPREAD = 0.2  # standard deviation of the logarithm of the photo's long side while training
NEIGHBOURS = 9  # windows along a patch's side
PATCH = WINDOW + STRIDE * (NEIGHBOURS - 1)
CENTERS = np.s_[WINDOW // 2 : -(WINDOW // 2) : STRIDE, WINDOW // 2 : -(WINDOW // 2) : STRIDE]  # of a patch's windows
CACHE_LONG_SIDE = 1024
WINDOWS_PER_PHOTO = 20  # of a photo that choices are made by, half of them hair
FUSED_ON = {
    "figaro1k": 80,
    "celebamask": 30,
    "ccp": 30,
    "lfw": 10,
    "nohair": 15,
}  # photos that the weights are fitted on
PER_PHOTO = 300  # pixels of each
LEARNED_FROM = {"figaro1k": 160, "celebamask": 60, "ccp": 60, "lfw": 20, "nohair": 30}  # photos; by the pixels
SETS = {"figaro1k": 0.4, "celebamask": 0.14, "celebahq": 0.1, "ccp": 0.08, "lfw": 0.04, "nohair": 0.16, "things": 0.08}


@dataclass(frozen=True)
class Recipe:
    """One classifier. sets: how often each data set is drawn. long_side: of the photo, pixels."""

    name: str
    plan: Plan
    long_side: int
    sets: dict[str, float]


def plan(steps: int, seed: int) -> Plan:
    """Of patch classifiers: 64 patches a step."""
    return Plan(
        (Phase(PATCH, 64, steps),),
        rate=2e-3,
        seed=seed,
        warm_up=100,
        averaging=0.998,
        weight_decay=0.02,
        log_every=100,
    )


FINE = Recipe(NAME, plan(2400, seed=11), 640, SETS)  # in short trials finer scales did better: strands tell hair
COARSER = Recipe(f"{NAME}-coarser", plan(1900, seed=12), 160, SETS)


# Samples and loss


class Patches:
    """What makes training samples: a patch of a photo, its windows' labels, and which of those are known."""

    def __init__(self, photos: dict[str, list], recipe: Recipe):
        self.photos, self.long_side = photos, recipe.long_side
        self.names = list(recipe.sets)
        self.chances = np.array(list(recipe.sets.values())) / sum(recipe.sets.values())

    def __call__(self, number: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(3, PATCH, PATCH) float32 in -1…1; hair and known (1, 9, 9) float32, 0 or 1."""
        name = self.names[rng.choice(len(self.names), p=self.chances)]
        image, labels = self.photos[name][rng.integers(len(self.photos[name]))]
        scale = max(labels.shape) / (self.long_side * np.exp(rng.normal(0, SIDE_SPREAD)))
        center = choose_center(labels[..., 0], rng)
        image, labels = warp(image, labels, PATCH, PATCH * scale, center, rng, frame_share=0)
        image = change_look(image, labels, rng)
        hair, others = labels[CENTERS][..., 0] > 127, labels[CENTERS][..., 1]
        parts = (part[None].astype(np.float32) for part in (hair, others != LEFT_OUT))
        return torch.from_numpy(image).permute(2, 0, 1), *map(torch.from_numpy, parts)


def choose_center(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pixel (x, y): of hair half of the time, near hair a quarter, anywhere else. mask: (h, w) uint8."""
    height, width = mask.shape
    chance = rng.random()
    hair = np.flatnonzero(mask > 127)
    if chance < 0.75 and hair.size:
        y, x = divmod(int(hair[rng.integers(hair.size)]), width)
        if chance < 0.5:
            return np.array([x, y], float)
        near = np.array([x, y]) + rng.normal(0, 0.12 * max(height, width), 2)
        return np.clip(near, 0, (width - 1, height - 1))
    return rng.uniform(0, (width - 1, height - 1))


def balanced_loss(logits: torch.Tensor, hair: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of what is known, in which the batch's hair weighs as much as the rest; shapes alike."""
    count = known.sum().clamp(min=1)
    share = ((hair * known).sum() / count).clamp(1e-3, 1 - 1e-3)
    weights = known * (hair / (2 * share) + (1 - hair) / (2 * (1 - share)))
    return F.binary_cross_entropy_with_logits(logits, hair, weights, reduction="sum") / count


def read_photos(data: Path, sets) -> tuple[dict[str, list], list]:
    """Training photos with their labels by data set, and all that choices are made by."""
    training = {
        name: [read_sample(sample, CACHE_LONG_SIDE) for sample in find_samples(data, name, "training")] for name in sets
    }
    choices = [read_sample(s, CACHE_LONG_SIDE) for name in sets for s in find_samples(data, name, "choice")]
    return training, choices


def cut_windows(photos: list, long_side: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Balanced windows of photos, brought to that long side: (n, 35, 35, 3) uint8 and labels (n,) bool.

    From a photo that shows hair, as many around a pixel of hair as around another one; from one without, half as many.
    """
    rng, windows, labels = np.random.default_rng(seed), [], []
    for image, (mask, others) in ((image, np.moveaxis(both, 2, 0)) for image, both in photos):
        scale = long_side / max(mask.shape)
        size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image, hair = cv2.resize(image, size, interpolation=method), cv2.resize(mask, size, interpolation=method) > 127
        known = cv2.resize(others, size, interpolation=cv2.INTER_NEAREST) != LEFT_OUT
        margin = WINDOW // 2
        image = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
        for label in (False, True):
            where = np.argwhere((hair == label) & known)
            if where.size:
                for y, x in where[rng.integers(len(where), size=WINDOWS_PER_PHOTO // 2)]:
                    windows.append(image[y : y + WINDOW, x : x + WINDOW])
                    labels.append(label)
    return np.stack(windows), np.array(labels)


@torch.no_grad()
def classify(network: PatchNet, windows: np.ndarray, batch: int = 256) -> np.ndarray:
    """Probability of hair of each window (n, 35, 35, 3) uint8 -> (n,) float32."""
    network.eval()
    device, found = next(network.parameters()).device, []
    for start in range(0, len(windows), batch):
        x = torch.from_numpy(windows[start : start + batch]).permute(0, 3, 1, 2).float() / 127.5 - 1
        p = torch.sigmoid(network(x.to(device, memory_format=torch.channels_last)))
        found.append(p[:, 0, 0, 0].cpu())
    return torch.cat(found).numpy()


def run(
    recipe: Recipe,
    photos: dict[str, list],
    windows: np.ndarray,
    labels: np.ndarray,
    out: Path,
    network: Callable[[], PatchNet] = PatchNet,
) -> Path:
    """Train by the recipe, or go on from the last checkpoint in `out`; returns the checkpoint's path.

    photos: as `read_photos` gives them. windows, labels: as `cut_windows` gives them, for the log.
    """
    torch.manual_seed(recipe.plan.seed)
    return train(
        recipe.plan,
        network(),
        lambda phase: Patches(photos, recipe),
        balanced_loss,
        out,
        lambda average: {"top1": float(((classify(average, windows) >= 0.5) == labels).mean())},
    )


# From classifiers to the model


def write_graphs(network: PatchNet, folder: Path, name: str) -> tuple[Path, Path]:
    """The network as it is and with dilations in place of strides: `NAME.onnx` and `NAME-dense.onnx`."""
    paths = folder / f"{name}.onnx", folder / f"{name}-dense.onnx"
    squares = [torch.rand(1, 3, *size) * 2 - 1 for size in ((WINDOW, WINDOW), (61, 98), (36, 35))]
    for path, form in zip(paths, (copy.deepcopy(network), dilate(network)), strict=True):
        write_onnx(nn.Sequential(fold_and_round(form), nn.Sigmoid()), path, squares)
    return paths


def count_ways(network: PatchNet) -> dict[str, float]:
    """Multiplications of one window, and of one pixel of a large square, as it is and with dilations."""
    side = 512
    square, pixels = side + WINDOW - 1, side**2
    return {
        "window": count_operations(network),
        "strided": count_operations(network, square) / pixels,
        "dilated": count_operations(dilate(network), square) / pixels,
    }


def sample_odds(samples: list[Sample], model: PatchSegmenter) -> tuple[np.ndarray, np.ndarray]:
    """Log odds of both classifiers at random pixels of the photos (n, 2) and what they are (n,) bool."""
    rng, odds, hair = np.random.default_rng(7), [], []
    for sample in samples:
        photo, truth = read_photo(sample.image), read_mask(sample.mask)
        size = proxy_size(photo.width, photo.height, model.fine.card.long_side, 1)
        fine = interpolate_map(
            dense_map(make_proxy(photo, size), model.fine, DEFAULT_STEP), DEFAULT_STEP, size[1], size[0]
        )
        coarse = context_map(photo, model.coarser, 1, size)
        chosen = rng.integers(fine.size, size=PER_PHOTO)
        odds.append(np.stack([log_odds(p.reshape(-1)[chosen]) for p in (fine, coarse)], axis=1))
        truth = cv2.resize(truth.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        hair.append(truth.reshape(-1)[chosen] > 0.5)
    return np.concatenate(odds), np.concatenate(hair)


def fit_fusion(odds: np.ndarray, hair: np.ndarray) -> dict[str, float]:
    """Weights of the two log odds (n, 2) and the constant that tell hair (n,) best, as the card wants them.

    The constant also takes the classifiers from the balanced windows that they learned from to photos as they are.
    """
    model = LogisticRegression(C=np.inf).fit(odds, hair)
    fine, coarse = (round(float(weight), 4) for weight in model.coef_[0])
    return {"fine": fine, "coarse": coarse, "constant": round(float(model.intercept_[0]), 4)}


def choose_photos(data: Path, counts: dict[str, int], part: str) -> list[Sample]:
    """Some photos of one part of each data set. counts: how many of each, about."""
    return [sample for name, count in counts.items() for sample in some(find_samples(data, name, part), count)]


def describe(networks: list[PatchNet], graphs: list[tuple[Path, Path]]) -> dict:
    """The card of two classifiers and their graphs, of which only the finer one counts as yet."""
    entries = [{**file_entry(path), "dense": file_entry(dense)} for path, dense in graphs]
    parameters = [sum(p.numel() for p in network.parameters()) for network in networks]
    return {
        "name": NAME,
        "task": "patch",
        **entries[0],
        "parameters": parameters[0],
        "multiplications": count_ways(networks[0]),
        "input": {
            "layout": "NCHW",
            "dtype": "float32",
            "color": "RGB, sRGB-encoded, 0 to 1",
            "long_side": FINE.long_side,
            "window": WINDOW,
            "stride": STRIDE,
            "multiple": 1,
            "mean": 0.5,
            "scale": 2.0,
        },
        "output": "hair probability of each window's center pixel, NCHW, float32, 0 to 1",
        "label": "Texture",
        "description": f"{WINDOW}x{WINDOW} windows judged one by one, at two scales "
        f"(mobilenetv2, {sum(parameters)} parameters in all)",
        "default": False,
        "training": f"python -m models.training {NAME}: {FINE.plan.steps} and {COARSER.plan.steps} steps of "
        f"{FINE.plan.phases[0].batch} patches",
        "training_data": sorted(SETS),
        "terms": research_terms(SETS),
        "coarser": {**entries[1], "long_side": COARSER.long_side},
        "fusion": {"fine": 1.0, "coarse": 0.0, "constant": 0.0},
    }


def build(data: Path, checkpoints: tuple[Path, Path], runs: Path, out: Path, sets=None) -> None:
    """Write the graphs and the card, `out/NAME*`, with the figures of the photos kept for reports.

    checkpoints: of the finer and the coarser classifier. runs: where the pixel classifier's checkpoint goes.
    """
    cv2.setNumThreads(2)
    networks = [read_average(PatchNet(), path) for path in checkpoints]
    graphs = [write_graphs(n, out, recipe.name) for n, recipe in zip(networks, (FINE, COARSER), strict=True)]
    card = describe(networks, graphs)

    def model(**more) -> PatchSegmenter:
        card.update(more)
        write_card(card, out)
        return open_model(NAME, engine="texture", device="cpu", folder=out)

    fused_on = choose_photos(data, FUSED_ON, "choice")
    with_sum = model(fusion=fit_fusion(*sample_odds(fused_on, model())))
    print(card["fusion"], flush=True)
    learned_from = choose_photos(data, LEARNED_FROM, "training")
    pixels = out / f"{NAME}-pixels.onnx"
    pixel_classifier.make(learned_from, fused_on, with_sum, runs / f"{NAME}-pixels", pixels)
    model(pixels=file_entry(pixels))
    files = [path for pair in graphs for path in pair] + [pixels]
    card["megabytes"] = round(sum(path.stat().st_size for path in files) / 1e6, 2)
    measure_into(card, out, data, sets)


def make(data: Path, out: Path, models: Path) -> None:
    """Train both classifiers, or go on from their checkpoints, and build the model."""
    training, choices = read_photos(data, SETS)
    checkpoints = []
    for recipe in (FINE, COARSER):
        windows, labels = cut_windows(choices, recipe.long_side)
        checkpoints.append(run(recipe, training, windows, labels, out / recipe.name))
    del training, choices  # several gigabytes
    build(data, tuple(checkpoints), out, models)
