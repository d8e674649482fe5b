"""How often heads of hair are told apart rightly: python benchmarks/people.py --data DATA [--sets celebamask figaro1k]

On true masks of photos of one person, so that only `find_markers` is measured: the share of them that counts as
one head, and of pairs of them, made as wide as each other, that count as two: with room between them, and overlapping
by a tenth of their width with the second head at the same height or a quarter of the width lower.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hairmask_core.hair.instances import WORKING_SIDE, find_markers

WIDTH = 160  # of each head of a pair, pixels
LEAST = 0.02  # of the photo that is hair; less is no portrait


def read_masks(folder: Path, count: int) -> list[np.ndarray]:
    """True masks at working scale, chosen by chance but always the same: (h, w) bool."""
    paths = sorted(folder.glob("*.png"))
    random.Random(1).shuffle(paths)
    masks = []
    for path in paths:
        mask = np.asarray(Image.open(path).convert("L"))
        size = tuple(round(side * WORKING_SIDE / max(mask.shape)) for side in mask.shape[::-1])
        if (mask > 127).mean() >= LEAST and len(masks) < count:
            masks.append(cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 127)
    return masks


def crop(mask: np.ndarray) -> np.ndarray:
    """The hair alone, WIDTH wide."""
    rows, columns = np.nonzero(mask)
    hair = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.uint8)
    return cv2.resize(hair, (WIDTH, max(1, round(hair.shape[0] * WIDTH / hair.shape[1])))) > 0


def pair(one: np.ndarray, other: np.ndarray, gap: float, drop: float) -> np.ndarray:
    """Two heads beside each other; gap and drop in their widths."""
    left, top = WIDTH + round(gap * WIDTH), round(drop * WIDTH)
    both = np.zeros((max(len(one), len(other) + top) + 2, left + WIDTH + 2), bool)
    both[1 : 1 + len(one), 1 : 1 + WIDTH] |= one
    both[1 + top : 1 + top + len(other), 1 + left : 1 + left + WIDTH] |= other
    return both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["celebamask", "figaro1k", "lfw"])
    parser.add_argument("--photos", type=int, default=100)
    args = parser.parse_args()
    print("set: one head of one | two of two: apart, overlapping, overlapping and lower")
    for name in args.sets:
        masks = read_masks(args.data / name / "masks", args.photos)
        heads = [crop(mask) for mask in masks]
        pairs = list(zip(heads[::2], heads[1::2]))
        shares = [np.mean([find_markers(mask).max() == 1 for mask in masks])]
        for gap, drop in ((0.3, 0), (-0.1, 0), (-0.1, 0.25)):
            shares.append(np.mean([find_markers(pair(one, other, gap, drop)).max() == 2 for one, other in pairs]))
        print(f"{name:12}" + "".join(f"{share:8.2f}" for share in shares))


if __name__ == "__main__":
    main()
