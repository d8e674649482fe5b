"""The second, pixel-level classifier: decides again where a probability map is uncertain.

python -m models.training.uncertain --data DATA --engine whole [--every 4] --out FOLDER

It learns from the uncertain pixels of the training photos, described by `hairmask_core.segmentation.pixel_classifier.pixel_features`, and is
measured on those of the held-out ones, beside the map itself and beside two random forests: one that learns from
the same pixels, and one that learns, photo by photo, from the photo's own certain pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn
from torch.nn import functional as F

from hairmask_core.evaluation.evaluate import read_mask
from hairmask_core.evaluation.metrics import average_precision, iou, score_histogram
from hairmask_core.inference.cards import ENGINES, choose_card
from hairmask_core.inference.session import Session, open_session
from hairmask_core.photo.files import read_photo
from hairmask_core.pipeline import segment_photo
from hairmask_core.segmentation.pixel_classifier import CERTAIN_HAIR, PIXEL_FEATURES, UNCERTAIN_RANGE, pixel_features

from .data import find_pairs

SETS = {"figaro1k": 320, "celebamask": 120, "ccp": 120, "lfw": 40}  # photos of each
PER_PLACE = 400  # uncertain pixels of each place of a photo
PER_OWN = 3000  # certain pixels of a photo that its own forest learns from
COLOR_AND_TEXTURE = slice(0, 12)  # features that do not come from the map
EPOCHS, BATCH, RATE, SEED = 30, 2048, 3e-3, 5
BIASES = np.arange(0, 3.1, 0.25)


class PixelNet(nn.Module):
    """(n, FEATURES) -> logits (n,)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(PIXEL_FEATURES, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1)
        )

    def forward(self, x):
        return self.layers(x)[:, 0]


def read_pixels(pairs: list, session: Session) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uncertain pixels of the photos: features (n, FEATURES), the map's p (n,), truth (n,)."""
    return tuple(np.concatenate(part) for part in zip(*(found[:3] for found in each_place(pairs, session))))


def choose_photos(data: Path, sets: dict[str, int]) -> list:
    """The training photos that are learned from; sets: how many of each, about."""
    chosen = []
    for name, count in sets.items():
        learned = [pair for pair in find_pairs(data, (name,)) if not pair.is_validation]
        chosen += learned[:: max(1, len(learned) // count)][:count]
    return chosen


def each_place(pairs: list, session: Session):
    """Of each place of each photo, some uncertain pixels: features, p and truth, as above; all features and p (flat)."""
    rng = np.random.default_rng(SEED)
    for pair in pairs:
        photo, truth = read_photo(pair.image), read_mask(pair.mask)
        for seen in segment_photo(photo, replace(session, pixels=None)):
            height, width = seen.coarse.shape
            hair = cv2.resize(
                truth[seen.region.slices].astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
            ).reshape(-1)
            p = seen.coarse.reshape(-1)
            where = np.flatnonzero((p > UNCERTAIN_RANGE[0]) & (p < UNCERTAIN_RANGE[1]))
            if where.size:
                where = rng.choice(where, min(PER_PLACE, where.size), replace=False)
                features = pixel_features(seen.proxy, seen.coarse).reshape(-1, PIXEL_FEATURES)
                yield features[where], p[where], hair[where] > 0.5, features, p


def grow_forest(features: np.ndarray, hair: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A random forest (Breiman 2001): features (n, f) and truth (n,) -> a function from features to p."""
    forest = RandomForestClassifier(40, max_depth=12, min_samples_leaf=5, n_jobs=-1, random_state=SEED)
    forest.fit(features, hair)
    return lambda x: forest.predict_proba(x)[:, 1]


def ask_own_forest(wanted: np.ndarray, said: np.ndarray, features: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Probability of the pixels `wanted` (n, FEATURES) by a forest that learned from the photo's certain pixels.

    features, p: of the whole photo. said: the map's p of the wanted ones, given back where nothing is certain.
    """
    rng = np.random.default_rng(SEED)
    certain = [np.flatnonzero(p > CERTAIN_HAIR), np.flatnonzero(p < 1 - CERTAIN_HAIR)]
    if min(map(len, certain)) < 50:
        return said
    chosen = np.concatenate([rng.choice(some, min(PER_OWN // 2, len(some)), replace=False) for some in certain])
    ask = grow_forest(features[chosen, COLOR_AND_TEXTURE], p[chosen] > 0.5)
    return ask(np.ascontiguousarray(wanted[:, COLOR_AND_TEXTURE]))


def train(features: np.ndarray, hair: np.ndarray) -> PixelNet:
    """The network, its features brought to mean 0 and deviation 1 by the first layer's weights."""
    torch.manual_seed(SEED)
    mean, deviation = torch.from_numpy(features.mean(0)), torch.from_numpy(features.std(0)) + 1e-3
    x, y = (torch.from_numpy(features) - mean) / deviation, torch.from_numpy(hair.astype(np.float32))
    network = PixelNet()
    steps = EPOCHS * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,))
        loss = F.binary_cross_entropy_with_logits(network(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    first = network.layers[0]
    first.bias.data -= (first.weight.data * (mean / deviation)).sum(1)
    first.weight.data /= deviation
    return network.eval()


def tune(network: PixelNet, pairs: list, session: Session) -> float:
    """Add to the network's logits what makes the maps of these photos best; returns what that is.

    Best by the mean over the photos of the IoU at 0.5, and where there is no hair of the share of pixels that are not
    taken for it. The network by itself is right on as many pixels as it can, and so misses small hair.
    """
    scores = np.zeros(len(BIASES))
    for pair in pairs:
        photo, truth = read_photo(pair.image), read_mask(pair.mask)
        for seen in segment_photo(photo, replace(session, pixels=None)):
            height, width = seen.coarse.shape
            hair = cv2.resize(truth[seen.region.slices].astype(np.float32), (width, height)) > 0.5
            uncertain = (seen.coarse > UNCERTAIN_RANGE[0]) & (seen.coarse < UNCERTAIN_RANGE[1])
            with torch.no_grad():
                logits = network(torch.from_numpy(pixel_features(seen.proxy, seen.coarse)[uncertain])).numpy()
            for i, bias in enumerate(BIASES):
                found = seen.coarse >= 0.5
                found[uncertain] = logits + bias >= 0
                scores[i] += iou(found, hair) if hair.any() else 1 - found.mean()
    best = BIASES[int(np.argmax(scores))]
    network.layers[-1].bias.data += best
    return best


def write_onnx(network: PixelNet, path: Path) -> None:
    """Input "features" (n, FEATURES) float32, output "probability" (n,) float32."""
    model = nn.Sequential(network, nn.Sigmoid())
    axes = {"features": {0: "pixels"}, "probability": {0: "pixels"}}
    names = {"input_names": ["features"], "output_names": ["probability"], "dynamic_axes": axes}
    torch.onnx.export(model, (torch.zeros(2, PIXEL_FEATURES),), str(path), **names, opset_version=17, dynamo=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see data.py)")
    parser.add_argument("--engine", choices=ENGINES, default="whole")
    parser.add_argument("--every", type=int, default=1, help="only every so many-th photo, where maps take long")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    session = open_session(choose_card(engine=args.engine), "cpu")
    held_out = [pair for pair in find_pairs(args.data, tuple(SETS)) if pair.is_validation][:: args.every]
    features, _, hair = read_pixels(choose_photos(args.data, SETS)[:: args.every], session)
    network, forest = train(features, hair), grow_forest(features, hair)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{session.card.name}-pixels.onnx"
    write_onnx(network, path)

    parts = [
        (wanted, said, hair, ask_own_forest(wanted, said, features, p))
        for wanted, said, hair, features, p in each_place(held_out, session)
    ]
    others, p, truth, own = (np.concatenate(part) for part in zip(*parts))
    with torch.no_grad():
        again = torch.sigmoid(network(torch.from_numpy(others))).numpy()
    print(f"{len(features)} uncertain pixels learned from, {len(truth)} held out, {truth.mean():.2f} of them hair")
    print("| decided by | accuracy | AP |\n|---|---|---|")
    rows = {
        "the map itself": p,
        "small network": again,
        "forest, the same pixels": forest(others),
        "forest, the photo's own certain pixels": own,
        "mean of that and the map": (own + p) / 2,
    }
    for name, said in rows.items():
        said = np.clip(said, 0, 1).astype(np.float32)
        precision = average_precision(score_histogram(said, truth))
        print(f"| {name} | {((said >= 0.5) == truth).mean():.4f} | {precision:.4f} |")


if __name__ == "__main__":
    main()
