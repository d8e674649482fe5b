"""Rendered hair with exact alpha, to learn matting from.

python -m models.training.matting_samples --out FOLDER [--count 2000] [--first 0]

Each sample is a square of a picture as synthetic/strands.py draws them, with other seeds than those that matting is
measured on: the color of the hair times its alpha, the alpha, and the alpha of the whole picture at SMALL pixels, from
which the coarse map comes. What is behind the hair is chosen when learning (see matting.py).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from synthetic.strands import STYLES, Scene, draw_tile, grow

FIRST_SEED = 100_000  # the pictures that matting is measured on have seeds below 100
SMALL = 360  # long side of the whole picture's alpha
GUIDE_SIDE = 192  # pixels of a sample at the guide's scale
FACTORS = (1.0, 1.0, 1.5, 2.0, 2.67)  # full resolution to the guide's
GUIDE_LONG_SIDES = (700, 1536)  # of the guide of the whole picture, for photos that are no larger


@dataclass(frozen=True)
class MattingSample:
    """color: (s, s, 3) uint8, times alpha. alpha: (s, s) uint8. small: (h, w) uint8, alpha of the whole picture.

    place: top, left and side in the whole picture, as shares of its height, width and width.
    """

    color: np.ndarray
    alpha: np.ndarray
    small: np.ndarray
    place: np.ndarray


def draw_matting_sample(seed: int) -> MattingSample:
    """One sample, somewhere where hair begins or ends."""
    rng = np.random.default_rng(FIRST_SEED + seed)
    factor = FACTORS[rng.integers(len(FACTORS))]
    long_side = rng.uniform(*GUIDE_LONG_SIDES) if factor == 1 else GUIDE_LONG_SIDES[1] * factor
    scene = Scene(FIRST_SEED + seed, long_side**2 * 0.75 / 1e6, STYLES[rng.integers(len(STYLES))], "")
    scalp, strands = grow(scene, rng)
    width, height = scene.size
    shrink = SMALL / max(width, height)
    rows, columns = slice(0, round(height * shrink)), slice(0, round(width * shrink))
    tiny = replace(strands, paths=strands.paths * shrink, widths=strands.widths * shrink)
    small = draw_tile(scalp * shrink, tiny, rows, columns)[1]
    near = cv2.GaussianBlur(small, (0, 0), 4)
    y, x = np.nonzero((near > 0.08) & (near < 0.92))
    chosen = rng.integers(len(y)) if len(y) else 0
    y, x = (y[chosen], x[chosen]) if len(y) else (rows.stop // 2, columns.stop // 2)
    side = round(GUIDE_SIDE * factor)
    top = int(np.clip(y / shrink - rng.uniform(0.3, 0.7) * side, 0, height - side))
    left = int(np.clip(x / shrink - rng.uniform(0.3, 0.7) * side, 0, width - side))
    color, alpha = draw_tile(scalp, strands, slice(top, top + side), slice(left, left + side))
    levels = [np.clip(np.round(a), 0, 255).astype(np.uint8) for a in (color, alpha * 255, small * 255)]
    return MattingSample(*levels, np.array([top / height, left / width, side / width]))


def read_matting_samples(folder: Path) -> list[MattingSample]:
    """What the command has written so far, sorted by number; raises FileNotFoundError if that is nothing."""
    paths = sorted(folder.glob("?????.npz"))
    if not paths:
        raise FileNotFoundError(f"No samples in {folder}: make some by python -m models.training.matting_samples.")
    return [MattingSample(**np.load(path)) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.first, args.first + args.count):
        path = args.out / f"{seed:05}.npz"
        if not path.exists():
            part = path.with_suffix(".part.npz")
            np.savez(part, **vars(draw_matting_sample(seed)))
            part.rename(path)


if __name__ == "__main__":
    main()
