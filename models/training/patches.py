"""Patch classifiers, from photos to models: which family is best on one budget.

python -m models.training.patches --data DATA --out RUNS

A window is 35x35 pixels of a photo whose long side is WORKING_SIDE; its label is its center pixel's. Windows are cut
in pieces of 9x9 neighbours, two pixels apart, which share most of their computation; half of the pieces lie around
a pixel of hair, and hair and the rest weigh the same in every batch.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from hairmask_core.evaluation.metrics import average_precision, score_histogram

from .data import change_look, find_pairs, read_pair, warp
from .patch_export import milliseconds, write_graphs
from .patch_network import FAMILIES, STRIDE, WINDOW, PatchNet, count_operations, depth
from .train import go_on, save, take_step, update_average

WORKING_SIDE = 640  # pixels, the photo's long side; in short trials finer scales did better: strands tell hair
SIDE_SPREAD = 0.2  # standard deviation of its logarithm while training
NEIGHBOURS = 9  # windows along a piece's side
PIECE = WINDOW + STRIDE * (NEIGHBOURS - 1)
CACHE_LONG_SIDE = 1024
WARM_UP_STEPS = 100
AVERAGING = 0.998
LOG_EVERY = 100
WINDOWS_PER_PHOTO = 20  # of a held-out photo, half of them hair


@dataclass(frozen=True)
class PatchRecipe:
    """One classifier. sets: how often each data set is drawn. long_side: of the photo, pixels. lr: peak learning rate."""

    name: str
    family: str
    sets: dict[str, float]
    steps: int
    long_side: int = WORKING_SIDE
    batch: int = 64
    lr: float = 2e-3
    seed: int = 11


SETS = {"figaro1k": 0.4, "celebamask": 0.14, "celebahq": 0.1, "ccp": 0.08, "lfw": 0.04, "nohair": 0.16, "things": 0.08}
CONTENDERS = tuple(PatchRecipe(f"patch-{family}", family, SETS, 600) for family in FAMILIES)


class Pieces(torch.utils.data.IterableDataset):
    """An endless stream of pieces, reproducible from the seed: (3, PIECE, PIECE) and labels (9, 9), float32."""

    def __init__(self, photos: dict[str, list], recipe: PatchRecipe, seed):
        self.photos, self.long_side, self.seed = photos, recipe.long_side, seed
        self.names = list(recipe.sets)
        self.chances = np.array(list(recipe.sets.values())) / sum(recipe.sets.values())

    def draw(self, rng: np.random.Generator):
        name = self.names[rng.choice(len(self.names), p=self.chances)]
        image, mask = self.photos[name][rng.integers(len(self.photos[name]))]
        scale = max(mask.shape) / (self.long_side * np.exp(rng.normal(0, SIDE_SPREAD)))
        image, mask = warp(image, mask, PIECE, PIECE * scale, choose_center(mask, rng), rng, frame_share=0)
        return change_look(image, mask, rng)

    def __iter__(self):
        cv2.setNumThreads(0)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((*self.seed, worker.id if worker else 0))
        while True:
            image, mask = self.draw(rng)
            labels = mask[WINDOW // 2 : -(WINDOW // 2) : STRIDE, WINDOW // 2 : -(WINDOW // 2) : STRIDE]
            yield torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy((labels > 0.5).astype(np.float32))[None]


def choose_center(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pixel (x, y): of hair half of the time, near hair a quarter, anywhere else."""
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


def balanced_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy in which the batch's hair weighs as much as the rest; shapes alike."""
    hair = labels.mean().clamp(1e-3, 1 - 1e-3)
    weights = labels / (2 * hair) + (1 - labels) / (2 * (1 - hair))
    return F.binary_cross_entropy_with_logits(logits, labels, weights)


def cut_windows(photos: list, long_side: int = WORKING_SIDE, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Balanced windows of held-out photos, brought to that long side: (n, 35, 35, 3) uint8 and labels (n,) bool.

    From a photo that shows hair, as many around a pixel of hair as around another one; from one without, half as many.
    """
    rng, windows, labels = np.random.default_rng(seed), [], []
    for image, mask in photos:
        scale = long_side / max(mask.shape)
        size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image, hair = cv2.resize(image, size, interpolation=method), cv2.resize(mask, size, interpolation=method) > 127
        margin = WINDOW // 2
        image = cv2.copyMakeBorder(image, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
        for label in (False, True):
            where = np.argwhere(hair == label)
            if where.size:
                for y, x in where[rng.integers(len(where), size=WINDOWS_PER_PHOTO // 2)]:
                    windows.append(image[y : y + WINDOW, x : x + WINDOW])
                    labels.append(label)
    return np.stack(windows), np.array(labels)


@torch.no_grad()
def classify(network: PatchNet, windows: np.ndarray, batch: int = 256) -> np.ndarray:
    """Probability of hair of each window (n, 35, 35, 3) uint8 -> (n,) float32."""
    network.eval()
    found = []
    for start in range(0, len(windows), batch):
        x = torch.from_numpy(windows[start : start + batch]).permute(0, 3, 1, 2).float() / 127.5 - 1
        found.append(torch.sigmoid(network(x.contiguous(memory_format=torch.channels_last)))[:, 0, 0, 0])
    return torch.cat(found).numpy()


def read_photos(data: Path, sets) -> tuple[dict[str, list], list]:
    """Training photos by data set, and all held-out ones."""
    training, held_out = {name: [] for name in sets}, []
    for pair in find_pairs(data, list(sets)):
        (held_out if pair.is_validation else training[pair.dataset]).append(read_pair(pair, CACHE_LONG_SIDE))
    return training, held_out


def train(recipe: PatchRecipe, photos: dict[str, list], windows: np.ndarray, labels: np.ndarray, out: Path) -> Path:
    """Train, or go on from the last checkpoint in `out`; returns the checkpoint's path.

    photos: as `read_photos` gives them. windows, labels: held-out ones, for the log.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = PatchNet(recipe.family).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], recipe.lr, weight_decay=0.02)
    checkpoint = out / "checkpoint.pt"
    step, elapsed, log = go_on(checkpoint, network, average, optimizer)
    samples = Pieces(photos, recipe, (recipe.seed, step))
    loader = iter(torch.utils.data.DataLoader(samples, recipe.batch, num_workers=1, prefetch_factor=4))
    began, losses = time.time() - elapsed, []
    while step < recipe.steps:
        rate = recipe.lr * min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses.append(take_step(network, optimizer, balanced_loss, *next(loader)))
        step += 1
        update_average(average, network, min(AVERAGING, (1 + step) / (10 + step)))
        if step % LOG_EVERY == 0 or step == recipe.steps:
            accuracy = float(((classify(average, windows) >= 0.5) == labels).mean())
            log.append(
                {"step": step, "minutes": (time.time() - began) / 60, "loss": float(np.mean(losses)), "top1": accuracy}
            )
            print(recipe.name, json.dumps(log[-1]), flush=True)
            losses = []
            save(checkpoint, network, average, optimizer, step, time.time() - began, log)
    return checkpoint


def read_checkpoint(recipe: PatchRecipe, checkpoint: Path) -> PatchNet:
    """The averaged network of a checkpoint, ready for use."""
    network = PatchNet(recipe.family)
    network.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["average"])
    return network.eval()


def compare(data: Path, out: Path) -> str:
    """Train every family on the same budget; the table in Markdown."""
    photos, held_out = read_photos(data, SETS)
    windows, labels = cut_windows(held_out)
    lines = [
        f"{len(windows)} held-out windows, {labels.sum()} of them hair",
        "",
        "| family | top-1 | AP | parameters | MB (float16) | depth | FLOPs a window | ms for 1000 windows |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for recipe in CONTENDERS:
        network = read_checkpoint(recipe, train(recipe, photos, windows, labels, out / recipe.name))
        p = classify(network, windows)
        parameters, layers = sum(w.numel() for w in network.parameters()), depth(network)
        flops = 2 * count_operations(network)
        path, _ = write_graphs(network, out / recipe.name, recipe.name)
        lines.append(
            f"| {FAMILIES[recipe.family][0]} | {((p >= 0.5) == labels).mean():.4f} "
            f"| {average_precision(score_histogram(p, labels)):.4f} | {parameters / 1e6:.2f} M "
            f"| {path.stat().st_size / 1e6:.2f} | {layers} | {flops / 1e6:.0f} M | {milliseconds(path):.0f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go, one folder a network")
    args = parser.parse_args()
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    print(compare(args.data, args.out))


if __name__ == "__main__":
    main()
