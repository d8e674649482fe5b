"""The pixel classifier: decides again where a probability map is uncertain.

python -m models.training.pixel_classifier --data DATA --engine whole [--every 4] --out FOLDER

It learns from the uncertain pixels of training photos, by the features that the product's module of the same name
computes. hair-texture has one, which patch_classifiers.py makes; the command makes one for the default model of an
engine, so that benchmarks/stages.py can say what it would be worth there, and prints how often it is right on the
photos that choices are made by.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hairmask_core.evaluation.evaluate import read_mask
from hairmask_core.evaluation.metrics import average_precision, iou, score_histogram
from hairmask_core.options import Engine
from hairmask_core.photo.files import read_photo
from hairmask_core.pipeline import segment_photo
from hairmask_core.segmentation.patch import PatchSegmenter
from hairmask_core.segmentation.pixel_classifier import PIXEL_FEATURES, UNCERTAIN_RANGE, pixel_features
from hairmask_core.segmentation.segmenter import Segmenter, open_model

from .datasets import Sample, find_samples, some
from .export import fold_and_round, write_onnx
from .trainer import Phase, Plan, read_average, train

SETS = {"figaro1k": 320, "celebamask": 120, "ccp": 120, "lfw": 40}  # photos of each
PER_PLACE = 400  # uncertain pixels of each place of a photo
EPOCHS, BATCH, RATE, SEED = 30, 2048, 3e-3, 5
BIASES = np.arange(0, 3.1, 0.25)  # that are tried


class PixelNet(nn.Module):
    """(…, PIXEL_FEATURES) -> logits (…)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(PIXEL_FEATURES, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1)
        )

    def forward(self, x):
        return self.layers(x)[..., 0]


def each_place(samples: list[Sample], model: Segmenter) -> Iterator[tuple]:
    """Of each place of each photo: proxy, map, truth (h, w) bool, and where the map is uncertain (h, w) bool."""
    if isinstance(model, PatchSegmenter):
        model = replace(model, pixels=None)
    for sample in samples:
        photo, truth = read_photo(sample.image), read_mask(sample.mask)
        for seen in segment_photo(photo, model):
            size = seen.coarse.shape[::-1]
            there = truth[seen.region.slices].astype(np.float32)
            hair = cv2.resize(there, size, interpolation=cv2.INTER_AREA) > 0.5
            yield seen.proxy, seen.coarse, hair, (seen.coarse > UNCERTAIN_RANGE[0]) & (seen.coarse < UNCERTAIN_RANGE[1])


def read_pixels(samples: list[Sample], model: Segmenter) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some uncertain pixels of each place: features (n, PIXEL_FEATURES), the map's p (n,) and truth (n,)."""
    rng, found = np.random.default_rng(SEED), []
    for proxy, coarse, hair, uncertain in each_place(samples, model):
        where = np.flatnonzero(uncertain)
        if where.size:
            where = rng.choice(where, min(PER_PLACE, where.size), replace=False)
            features = pixel_features(proxy, coarse).reshape(-1, PIXEL_FEATURES)
            found.append((features[where], coarse.reshape(-1)[where], hair.reshape(-1)[where]))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def fit(features: np.ndarray, hair: np.ndarray, out: Path) -> PixelNet:
    """Train on pixels (n, PIXEL_FEATURES) float32 and their truth (n,) bool; the checkpoint goes to `out`.

    The network learns from features of mean 0 and deviation 1; its first layer then does that for itself.
    """
    torch.manual_seed(SEED)
    mean, deviation = torch.from_numpy(features.mean(0)), torch.from_numpy(features.std(0)) + 1e-3
    x, y = (torch.from_numpy(features) - mean) / deviation, torch.from_numpy(hair.astype(np.float32))
    steps = EPOCHS * max(1, len(x) // BATCH)
    plan = Plan((Phase(BATCH, 1, steps),), rate=RATE, seed=SEED, warm_up=1, averaging=0.99, log_every=steps)

    def draw(number: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = rng.integers(len(x), size=BATCH)
        return x[chosen], y[chosen]

    checkpoint = train(plan, PixelNet(), lambda phase: draw, F.binary_cross_entropy_with_logits, out)
    network = read_average(PixelNet(), checkpoint)
    first = network.layers[0]
    first.bias.data -= (first.weight.data * (mean / deviation)).sum(1)
    first.weight.data /= deviation
    return network


def tune(network: PixelNet, samples: list[Sample], model: Segmenter) -> float:
    """Add to the network's logits what makes the maps of these photos best; returns what that is.

    Best by the mean over the places of the IoU at 0.5, and where there is no hair of the share of pixels that are not
    taken for it. The network by itself is right on as many pixels as it can, and so misses small hair.
    """
    scores = np.zeros(len(BIASES))
    for proxy, coarse, hair, uncertain in each_place(samples, model):
        with torch.no_grad():
            logits = network(torch.from_numpy(pixel_features(proxy, coarse)[uncertain])).numpy()
        for i, bias in enumerate(BIASES):
            found = coarse >= 0.5
            found[uncertain] = logits + bias >= 0
            scores[i] += iou(found, hair) if hair.any() else 1 - found.mean()
    best = float(BIASES[int(np.argmax(scores))])
    network.layers[-1].bias.data += best
    return best


def export(network: PixelNet, path: Path) -> None:
    """Input "features" (n, PIXEL_FEATURES) float32, output "probability" (n,) float32."""
    samples = [torch.randn(size, PIXEL_FEATURES) for size in (2, 100)]
    write_onnx(nn.Sequential(fold_and_round(network), nn.Sigmoid()), path, samples, ("features", "probability"))


def make(learned_from: list[Sample], tuned_on: list[Sample], model: Segmenter, out: Path, path: Path) -> PixelNet:
    """Learn, tune and write the ONNX file at `path`. model: of the model whose maps it is for."""
    features, _, hair = read_pixels(learned_from, model)
    network = fit(features, hair, out)
    print(f"bias of the pixel classifier {tune(network, tuned_on, model)}", flush=True)
    export(network, path)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see datasets.py)")
    parser.add_argument("--engine", choices=[engine.value for engine in Engine], default="whole")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th photo, where maps take long")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = open_model(engine=args.engine, device="cpu")
    name = f"{model.card.name}-pixels"
    learned_from = [s for name, count in SETS.items() for s in some(find_samples(args.data, name, "training"), count)]
    choices = [sample for name in SETS for sample in find_samples(args.data, name, "choice")][:: args.every]
    features, _, hair = read_pixels(learned_from[:: args.every], model)
    network = fit(features, hair, args.out / name)
    export(network, args.out / f"{name}.onnx")

    others, p, truth = read_pixels(choices, model)
    with torch.no_grad():
        again = torch.sigmoid(network(torch.from_numpy(others))).numpy()
    print(f"{len(features)} uncertain pixels learned from, {len(truth)} others, {truth.mean():.2f} of them hair")
    print("| decided by | accuracy | AP |\n|---|---|---|")
    for title, said in {"the map itself": p, "the pixel classifier": again}.items():
        precision = average_precision(score_histogram(said[None], truth[None]))
        print(f"| {title} | {((said >= 0.5) == truth).mean():.4f} | {precision:.4f} |")


if __name__ == "__main__":
    main()
