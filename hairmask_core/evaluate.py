"""Metrics over a folder of photos and true masks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from .errors import HairmaskError, PhotoError
from .image import FULL_SCALE, Photo, read_photo

THRESHOLD = 0.5  # probability from which a pixel counts as hair
BINS = 256  # of the probability histogram that precision and recall are taken from
BOUNDARY_TOLERANCE = 0.0075  # of the image diagonal
ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif")
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
    it would be background. Raises PhotoError as `image.read_photo` does.
    """
    brightness = read_photo(path).rgb[..., 0]
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
    Returns a dict that JSON can hold: "photos" (one record each), "mean" over the photos whose mask has
    hair, "pooled_average_precision" and "curve" over all their pixels, the photos with an empty mask
    apart ("empty_photos", "mean_false_share": their share of pixels at or above 0.5), and the speed.

    Raises PhotoError if a photo or a mask cannot be read, or if their sizes differ; ValueError if `predict` gives
    anything but a probability map of the photo's size.
    """
    records, pooled = [], np.zeros((2, BINS), np.int64)
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
        record = {"name": image.name, "seconds": time.perf_counter() - began}
        _check_probability(p, truth)
        found = p >= THRESHOLD
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
    seconds = float(np.mean([record["seconds"] for record in records])) if records else None
    precision, recall = precision_recall(pooled)
    return {
        "photos": records,
        "mean": {key: float(np.mean([r[key] for r in with_hair])) if with_hair else None for key in MEANS},
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


# Metrics. `found` and `truth` are (H, W) bool, `p` is (H, W) floating-point in 0…1, all of one size and not empty;
# they return a float in 0…1 and raise ValueError for anything else.


def _check_found(found: np.ndarray, truth: np.ndarray) -> None:
    if not all(isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype == bool for mask in (found, truth)):
        raise ValueError("Masks must be (height, width) of bool.")
    if found.shape != truth.shape or not truth.size:
        raise ValueError(f"Masks must be of one size and not empty: {found.shape} is not {truth.shape}.")


def _check_probability(p: np.ndarray, truth: np.ndarray) -> None:
    if not (isinstance(p, np.ndarray) and np.issubdtype(p.dtype, np.floating)):
        raise ValueError("A probability map must be an array of floating-point numbers.")
    _check_found(p >= THRESHOLD, truth)
    if not (p.min() >= 0 and p.max() <= 1):  # not for NaN either
        raise ValueError("Probabilities must be numbers from 0 to 1.")


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of hair (Jaccard 1901): TP / (TP + FP + FN); 1 if neither has hair."""
    _check_found(found, truth)
    union = np.count_nonzero(found | truth)
    return float(np.count_nonzero(found & truth) / union) if union else 1.0


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    """Harmonic mean of precision and recall of hair: 2TP / (2TP + FP + FN); 1 if neither has hair."""
    _check_found(found, truth)
    total = np.count_nonzero(found) + np.count_nonzero(truth)
    return float(2 * np.count_nonzero(found & truth) / total) if total else 1.0


def pixel_accuracy(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of pixels that are classified rightly: (TP + TN) / all."""
    _check_found(found, truth)
    return float(np.mean(found == truth))


def mean_pixel_accuracy(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes hair and not hair of the share found rightly (Long et al. 2015).

    Classes that the truth does not have do not count.
    """
    _check_found(found, truth)
    shares = [float(np.mean(found[truth == kind] == kind)) for kind in (True, False) if (truth == kind).any()]
    return float(np.mean(shares))


def dice(p: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient of the probability map itself: 2·Σ(p·t) / (Σp + Σt), after Milletari et al. 2016.

    On a hard mask it would equal F1; on the map it also says how sure the map is. 1 if both are empty.
    """
    _check_probability(p, truth)
    total = float(p.sum(dtype=np.float64)) + np.count_nonzero(truth)
    return float(2 * p[truth].sum(dtype=np.float64) / total) if total else 1.0


def boundary_f_score(found: np.ndarray, truth: np.ndarray) -> float:
    """F-measure of the outlines (Martin et al. 2004; Csurka et al. 2013).

    Precision: share of the found outline within a tolerance (0.75 % of the diagonal, at least one
    pixel) of the true one; recall the other way round. 1 if neither has an outline, 0 if only one has.
    """
    _check_found(found, truth)
    outlines = [_outline(mask) for mask in (found, truth)]
    if not outlines[0].any() or not outlines[1].any():
        return float(outlines[0].any() == outlines[1].any())
    tolerance = max(1.0, BOUNDARY_TOLERANCE * float(np.hypot(*truth.shape)))
    near = [
        cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= tolerance
        for outline in outlines
    ]
    precision, recall = float(near[1][outlines[0]].mean()), float(near[0][outlines[1]].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask with a neighbour, up, down, left or right, that is not in it; the photo's border is none."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(mask.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return mask & (inner == 0)


def score_histogram(p: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(2, BINS) int64: how many pixels of not hair (row 0) and of hair (row 1) have each probability."""
    _check_probability(p, truth)
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return np.stack([np.bincount(bins[truth == kind], minlength=BINS) for kind in (False, True)])


def precision_recall(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall, each (BINS,) in 0…1, for thresholds that fall from the highest bin to 0."""
    false, true = np.cumsum(histogram[:, ::-1], axis=1)
    found = true + false
    precision = np.divide(true, found, out=np.ones(BINS), where=found > 0)
    return precision, true / max(true[-1], 1)


def average_precision(histogram: np.ndarray) -> float:
    """Area under the precision-recall curve as Σ (Rₙ - Rₙ₋₁)·Pₙ (no interpolation), from binned probabilities."""
    precision, recall = precision_recall(histogram)
    return float(np.sum(np.diff(recall, prepend=0) * precision))


# For people


def format_table(result: dict) -> str:
    """The figures as text for a terminal."""
    lines = [f"{result['photos_with_hair']} photos with hair, {result['empty_photos']} without"]
    if result["photos_with_hair"]:
        lines += [f"  {key.replace('_', ' '):<26}{result['mean'][key]:.4f}" for key in MEANS]
        lines.append(f"  {'AP over all pixels':<26}{result['pooled_average_precision']:.4f}")
    if result["empty_photos"]:
        lines.append(f"  {'false hair where none is':<26}{100 * result['mean_false_share']:.3f} % of pixels")
    if result["photos_per_second"]:
        speed = f"{result['seconds_per_photo']:.4f} ({result['photos_per_second']:.1f} photos per second)"
        lines.append(f"  {'seconds per photo':<26}{speed}")
    return "\n".join(lines)


def plot_curve(result: dict, path: Path) -> None:
    """Draw the precision-recall curve into an image file.

    Raises HairmaskError if matplotlib is not installed, PhotoError if no mask had hair or the file cannot be written.
    """
    if not result["photos_with_hair"]:
        raise PhotoError("There is no precision-recall curve to draw: none of the masks has hair.")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only needed here
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HairmaskError("The plot needs matplotlib, which is not installed: pip install matplotlib") from error

    figure = Figure(figsize=(5, 5), dpi=120, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    recall = np.linspace(0.01, 1, 200)
    for f in (0.8, 0.9, 0.95):  # lines of equal F1, for orientation
        line = f * recall / (2 * recall - f)
        shown = (line > 0) & (line <= 1)
        axes.plot(recall[shown], line[shown], color="0.85", linewidth=1)
        axes.annotate(f"F1 {f}", (1.0, f / (2 - f)), color="0.5", fontsize=7, ha="right")
    axes.plot(result["curve"]["recall"], result["curve"]["precision"], color="tab:orange", linewidth=2)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title(
        f"Hair, {result['photos_with_hair']} photos: AP {result['pooled_average_precision']:.4f}", fontsize=10
    )
    axes.grid(color="0.93")
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path} cannot be written ({error}): check the folder and the ending.") from error


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
