"""Where the model is wrong, shown on scikit-image's free photographs: python benchmarks/failures.py OUT.jpg

What was taken for hair is magenta: a red table top beside a coffee cup; a portrait that is blurred and noisy, which it finds
since it was trained for that, and one that is too small in a large picture for its hair to be found.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import skimage.data

from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation.segmenter import open_model

SIDE = 320


def cases() -> dict[str, tuple[np.ndarray, tuple[slice, slice]]]:
    """Picture, (H, W, 3) uint8 RGB, and the part of it to show, by name."""
    portrait = skimage.data.astronaut()
    grain = np.random.default_rng(1).normal(0, 60, portrait.shape)
    wall = cv2.resize(skimage.data.brick(), (1875, 1250), interpolation=cv2.INTER_CUBIC)[..., None].repeat(3, 2)
    wall[500:620, 800:920] = cv2.resize(portrait, (120, 120), interpolation=cv2.INTER_AREA)
    everything = np.s_[:, :]
    return {
        "taken for hair": (skimage.data.coffee(), everything),
        "blur of 6 pixels": (cv2.GaussianBlur(portrait, (0, 0), 6), everything),
        "noise": (np.clip(portrait + grain, 0, 255).astype(np.uint8), everything),
        "35 of 1875 pixels": (np.ascontiguousarray(wall), np.s_[460:660, 760:960]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    args = parser.parse_args()
    model = open_model(device="cpu")
    cells = []
    for name, (picture, part) in cases().items():
        hair = find_matte(Photo(picture), model).matte > 0.5
        print(f"{name}: {100 * hair.mean():.2f} % of the picture")
        shown = np.where(hair[..., None], picture // 3 + np.array([170, 0, 170], np.uint8), picture)[part]
        scale = SIDE / max(shown.shape[:2])
        shown = cv2.resize(shown.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cell = np.full((SIDE + 24, SIDE, 3), 255, np.uint8)
        cell[: shown.shape[0], : shown.shape[1]] = shown
        cv2.putText(cell, name, (4, SIDE + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    cv2.imwrite(args.out, np.hstack(cells)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
