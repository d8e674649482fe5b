"""Metrics over a folder of photos and true masks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PhotoError
from ..photo.files import read_photo, read_stored
from ..photo.pixels import FULL_SCALE, Photo
from .metrics import (
    BINS,
    THRESHOLD,
    average_precision,
    boundary_f_score,
    check_probability,
    dice,
    f1,
    iou,
    mean_pixel_accuracy,
    pixel_accuracy,
    precision_recall,
    score_histogram,
)

# Endings of the files that count as photos and masks.
ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif")

# IoU below which a photo counts as one that went wrong.
LOW_IOU = 0.7

# The metrics whose mean over the photos is reported.
MEANS = ("iou", "f1", "pixel_accuracy", "mean_pixel_accuracy", "dice", "average_precision", "boundary_f_score")


def find_pairs(images: Path, masks: Path, limit: int | None = None) -> list[tuple[Path, Path]]:
    """Photos and masks of equal stem, sorted by stem; the first `limit` of them.

    Hidden files are passed over. Raises PhotoError if a folder is missing, there are no photos, a photo
    has no mask, or two files of one folder have the same stem.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise PhotoError(f"{folder} is not a folder: check the path.")
    photos, truths = _by_stem(images), _by_stem(masks)
    if not photos:
        raise PhotoError(f"{images} holds no photos: they end in {', '.join(ENDINGS)}.")
    without = [path for stem, path in photos.items() if stem not in truths]
    if without:
        raise PhotoError(
            f"{len(without)} of {len(photos)} photos have no mask in {masks}, the first is {without[0].name}: "
            "pair them by file name."
        )
    return [(path, truths[stem]) for stem, path in photos.items()][:limit]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):  # macOS leaves ._photo.jpg beside photos
            continue
        if path.stem in found:
            raise PhotoError(f"{folder} has both {found[path.stem].name} and {path.name}: remove one, as names pair.")
        found[path.stem] = path
    return found


def read_mask(path: Path) -> np.ndarray:
    """A true mask as (H, W) bool, upright: hair is what is at least half bright.

    A file that holds nothing but 0 and 1 is taken for class numbers, 1 being hair: by brightness all of
    it would be background. Raises PhotoError as `read_photo` does.
    """
    brightness = read_stored(path).pixels[..., 0]
    full = FULL_SCALE[brightness.dtype] if brightness.max() > 1 else 1.0
    return brightness >= 0.5 * full


def evaluate(
    pairs: list[tuple[Path, Path]],
    predict: Callable[[Photo], np.ndarray],
    advance: Callable[[], None] = lambda: None,
) -> dict:
    """Measure `predict` on every pair, at the photos' own resolution.

    predict: Photo (H, W) -> hair probability (H, W) float32, 0…1. Only its time is taken, not decoding.
    advance: called after each photo.
    Returns a dict that JSON can hold: "photos" (one record each); over the photos whose mask has hair "mean",
    "median_iou", "low_iou_share" (of the photos with an IoU below LOW_IOU), "pooled_average_precision" and "curve"
    (over all their pixels); "pooled_iou" and "pooled_f1" of all pixels of all photos, as papers report them; the photos
    with an empty mask apart ("empty_photos", "mean_false_share": their share of pixels at or above 0.5); and the speed.

    Raises PhotoError if a photo or a mask cannot be read, or if their sizes differ; ValueError if `predict` gives
    anything but a probability map of the photo's size.
    """
    records, pooled = [], np.zeros((2, BINS), np.int64)
    overlap, found_pixels, true_pixels = 0, 0, 0
    for image, mask in pairs:
        photo = read_photo(image)
        truth = read_mask(mask)
        if truth.shape != (photo.height, photo.width):
            raise PhotoError(
                f"{mask} is {truth.shape[1]}x{truth.shape[0]} pixels, its photo {photo.width}x{photo.height}: "
                "masks must have the size of their photos."
            )
        began = time.perf_counter()
        p = predict(photo)
        record: dict[str, Any] = {"name": image.name, "seconds": time.perf_counter() - began}
        check_probability(p, truth)
        found = p >= THRESHOLD
        overlap += int(np.count_nonzero(found & truth))
        found_pixels += int(np.count_nonzero(found))
        true_pixels += int(np.count_nonzero(truth))
        if truth.any():
            histogram = score_histogram(p, truth)
            pooled += histogram
            record |= {
                "iou": iou(found, truth),
                "f1": f1(found, truth),
                "pixel_accuracy": pixel_accuracy(found, truth),
                "mean_pixel_accuracy": mean_pixel_accuracy(found, truth),
                "dice": dice(p, truth),
                "average_precision": average_precision(histogram),
                "boundary_f_score": boundary_f_score(found, truth),
            }
        else:
            record["false_share"] = float(found.mean())
        records.append(record)
        advance()
    with_hair = [record for record in records if "iou" in record]
    empty = [record["false_share"] for record in records if "false_share" in record]
    scores = [record["iou"] for record in with_hair]
    seconds = float(np.mean([record["seconds"] for record in records])) if records else None
    precision, recall = precision_recall(pooled)
    return {
        "photos": records,
        "mean": {key: float(np.mean([r[key] for r in with_hair])) if with_hair else None for key in MEANS},
        "median_iou": float(np.median(scores)) if with_hair else None,
        "low_iou_share": float(np.mean(np.array(scores) < LOW_IOU)) if with_hair else None,
        "pooled_iou": overlap / (found_pixels + true_pixels - overlap) if with_hair else None,
        "pooled_f1": 2 * overlap / (found_pixels + true_pixels) if with_hair else None,
        "pooled_average_precision": average_precision(pooled) if with_hair else None,
        "curve": {
            "precision": precision.tolist(),
            "recall": recall.tolist(),
            "thresholds": (np.arange(BINS)[::-1] / BINS).tolist(),
        },
        "photos_with_hair": len(with_hair),
        "empty_photos": len(empty),
        "mean_false_share": float(np.mean(empty)) if empty else None,
        "seconds_per_photo": seconds,
        "photos_per_second": 1 / seconds if seconds else None,
    }


def format_table(result: dict) -> str:
    """The figures as text for a terminal."""
    lines = [f"{result['photos_with_hair']} photos with hair, {result['empty_photos']} without"]
    if result["photos_with_hair"]:
        lines += [f"  {key.replace('_', ' '):<26}{result['mean'][key]:.4f}" for key in MEANS]
        lines.append(f"  {'median iou':<26}{result['median_iou']:.4f}")
        lines.append(f"  {f'photos with iou < {LOW_IOU}':<26}{100 * result['low_iou_share']:.1f} %")
        lines.append(f"  {'iou over all pixels':<26}{result['pooled_iou']:.4f}")
        lines.append(f"  {'f1 over all pixels':<26}{result['pooled_f1']:.4f}")
        lines.append(f"  {'AP over all pixels':<26}{result['pooled_average_precision']:.4f}")
    if result["empty_photos"]:
        lines.append(f"  {'false hair where none is':<26}{100 * result['mean_false_share']:.3f} % of pixels")
    if result["photos_per_second"]:
        speed = f"{result['seconds_per_photo']:.4f} ({result['photos_per_second']:.1f} photos per second)"
        lines.append(f"  {'seconds per photo':<26}{speed}")
    return "\n".join(lines)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[], None]]:
    """A function to call after each of `total` steps: redraws a bar on a terminal, else says every tenth."""
    done, terminal = 0, sys.stderr.isatty()

    def advance() -> None:
        nonlocal done
        done += 1
        if terminal:
            filled = 40 * done // total
            print(f"\r[{'#' * filled}{'.' * (40 - filled)}] {done}/{total}", end="", file=sys.stderr, flush=True)
        elif done * 10 // total > (done - 1) * 10 // total:
            print(f"{done} of {total} photos", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if terminal:
            print(file=sys.stderr)
