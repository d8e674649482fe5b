"""How well a map or mask agrees with a true mask.

`found` and `truth` are (H, W) bool, `p` is (H, W) floating-point in 0…1, all of one size and not empty; the metrics
return a float in 0…1 and raise ValueError for anything else.
"""

from __future__ import annotations

import cv2
import numpy as np

THRESHOLD = 0.5  # probability from which a pixel counts as hair
BINS = 256  # of the probability histogram that precision and recall are taken from
BOUNDARY_TOLERANCE = 0.0075  # of the image diagonal


def _check_found(found: np.ndarray, truth: np.ndarray) -> None:
    if not all(isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype == bool for mask in (found, truth)):
        raise ValueError("Masks must be (height, width) of bool.")
    if found.shape != truth.shape or not truth.size:
        raise ValueError(f"Masks must be of one size and not empty: {found.shape} is not {truth.shape}.")


def check_probability(p: np.ndarray, truth: np.ndarray) -> None:
    """Raise ValueError unless `p` is a probability map and `truth` a mask of its size."""
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
    check_probability(p, truth)
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
    check_probability(p, truth)
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
