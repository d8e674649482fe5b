"""People in panoramas and strips, and photos that lie on their side or stand on their head: is their hair found?

python -m benchmarks.strips_and_turns [--data DATA] [--photos 70]

Strips: portraits of one person (hair 148 pixels wide) side by side on a plain wall; a head counts as found where half of
its hair is. Turned photos, of DATA, those kept for reports: IoU of what is found, of each photo as it is and turned by
quarters, once as the network sees it there (which is what the program did before), once with turning where that is
clearly surer. Quality fast.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from benchmarks.held_out import held_out_pairs
from hairmask_core.evaluation.metrics import iou
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation import whole_image
from hairmask_core.segmentation.segmenter import Segmenter, open_model

STRIPS = ((5120, 512, 10), (512, 5120, 10), (10240, 512, 20), (10240, 512, 1), (10240, 1000, 10), (30000, 2000, 29))
SETS = ("figaro1k", "celebamask", "celebahq", "ccp", "lfw")
TURNS = ("upright", "on its left side", "upside down", "on its right side")
SIDE = 512  # of the portrait, pixels


def print_strips(model: Segmenter) -> None:
    portrait = skimage.data.astronaut()
    alone = find_matte(Photo(portrait), model).matte > 0.5
    print("| strip | people | found | seconds |\n|---|---|---|---|")
    for width, height, people in STRIPS:
        wall = np.random.default_rng(0).integers(165, 175, (height, width, 1), np.uint8).repeat(3, 2)
        step = max(width, height) // people
        along = [step * i for i in range(people)]
        boxes = [(y, (height - SIDE) // 2) if width > height else ((width - SIDE) // 2, y) for y in along]
        for left, top in boxes:
            wall[top : top + SIDE, left : left + SIDE] = portrait
        began = time.perf_counter()
        hair = find_matte(Photo(wall), model).matte > 0.5
        seconds = time.perf_counter() - began
        there = [hair[top : top + SIDE, left : left + SIDE] & alone for left, top in boxes]
        found = sum(bool(head.sum() > 0.5 * alone.sum()) for head in there)
        print(f"| {width}x{height} | {people} | {found} | {seconds:.1f} |", flush=True)


def print_turned(model: Segmenter, data: Path, photos: int) -> None:
    pairs = [pair for name in SETS for pair in held_out_pairs(data, name)[: -(-photos // len(SETS))]]
    usual, found = whole_image.SURE, np.zeros((len(pairs), len(TURNS), 2))
    try:
        for i, (image, mask) in enumerate(pairs):
            rgb = cv2.imread(str(image))[..., ::-1]
            truth = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 127
            for turns in range(len(TURNS)):
                photo, hair = Photo(np.ascontiguousarray(np.rot90(rgb, turns))), np.rot90(truth, turns)
                for way, sure in enumerate((0.0, usual)):  # 0: it is sure of every photo
                    whole_image.SURE = sure
                    found[i, turns, way] = iou(find_matte(photo, model).matte > 0.5, hair)
    finally:
        whole_image.SURE = usual
    print(
        f"\n{len(pairs)} photos\n| the photo | as it is | turned where surer | photos 0.05 better, worse |\n|---|---|---|---|"
    )
    for turns, name in enumerate(TURNS):
        before, after = found[:, turns].T
        better, worse = (after > before + 0.05).sum(), (after < before - 0.05).sum()
        print(f"| {name} | {before.mean():.3f} | {after.mean():.3f} | {better}, {worse} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--photos", type=int, default=70, help="turned ones, about")
    args = parser.parse_args()
    model = open_model(device="cpu")
    print_strips(model)
    if args.data:
        print_turned(model, args.data, args.photos)


if __name__ == "__main__":
    main()
