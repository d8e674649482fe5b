"""How far a data set's labels bound what can be reached on it.

python -m models.training.studies.label_limits --data DATA [--sets …]

Printed for each data set: mean IoU of the default model on every twelfth training photo and on the photos kept for
reports; then, on the latter, without what was found apart from any labelled hair, and besides without a band of five
pixels along the labelled outlines.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from hairmask_core.evaluation.evaluate import read_mask
from hairmask_core.evaluation.metrics import THRESHOLD, iou
from hairmask_core.photo.files import read_photo
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation.segmenter import open_model

from ..measure import choose_samples

BAND = np.ones((5, 5), np.uint8)


def drop_apart(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The connected regions of `found` that touch `truth`; (h, w) bool each."""
    _, labels = cv2.connectedComponents(found.astype(np.uint8))
    touching = np.unique(labels[truth & found])
    return np.isin(labels, touching[touching > 0])


def off_the_outline(truth: np.ndarray) -> np.ndarray:
    """(h, w) bool: what is not within two pixels of the outline of `truth`."""
    mask = truth.astype(np.uint8)
    return cv2.dilate(mask, BAND) == cv2.erode(mask, BAND)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see datasets.py)")
    parser.add_argument("--sets", nargs="+", default=["figaro1k", "celebamask", "ccp", "lfw"])
    args = parser.parse_args()
    model = open_model(device="cpu")
    print("| data set | training | held out | without what lies apart | without the outline |\n|---|---|---|---|---|")
    for name in args.sets:
        columns = [[], [], [], []]
        for part in ("training", "report"):
            for sample in choose_samples(args.data, name, part):
                truth = read_mask(sample.mask)
                if not truth.any():
                    continue
                found = find_matte(read_photo(sample.image), model).matte >= THRESHOLD
                if part == "training":
                    columns[0].append(iou(found, truth))
                    continue
                attached, clear = drop_apart(found, truth), off_the_outline(truth)
                columns[1].append(iou(found, truth))
                columns[2].append(iou(attached, truth))
                columns[3].append(iou(attached & clear, truth & clear))
        print(f"| {name} | " + " | ".join(f"{np.mean(column):.3f}" for column in columns) + " |", flush=True)


if __name__ == "__main__":
    main()
