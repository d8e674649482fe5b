"""Uncertain pixels of a probability map decided again, each by features of its color, its texture and the map around it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..photo.oklab import rgb_to_oklab

# Weights of a pixel and of its eight neighbours: the binomial filter of order 2.
BINOMIAL_KERNEL = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 16
UNCERTAIN_RANGE = (0.05, 0.95)  # between these the pixel-level classifier decides
# From here on, and below 1 - CERTAIN_HAIR, a photo's own pixels tell what its hair and the rest look like.
CERTAIN_HAIR = 0.9
COLOR_BINS = 16  # along each axis of OKLab
PIXEL_FEATURES = 21  # how many numbers describe a pixel
CLASSIFIED_AT_ONCE = 1 << 15  # pixels; a tenth of a second at most, after which the work can be cancelled


def sharpen_noisy_or(p: np.ndarray) -> np.ndarray:
    """1 - (1 - p)²: the probability that at least one of two such votes says hair.

    p: float32 of any shape, 0…1; returned alike. 0 and 1 stay, everything between rises.
    """
    return 1 - (1 - p) ** 2


def smooth_binomial(p: np.ndarray) -> np.ndarray:
    """Each probability averaged with its eight neighbours', the nearer the more: a convolution by BINOMIAL_KERNEL.

    p: (h, w) float32, 0…1, continued by reflection at the edges; returned alike.
    """
    return cv2.filter2D(p, -1, BINOMIAL_KERNEL, borderType=cv2.BORDER_REFLECT_101)


def pixel_features(rgb: np.ndarray, p: np.ndarray, check: Callable[[], None] = lambda: None) -> np.ndarray:
    """What the pixel-level classifier sees of each pixel: (h, w, PIXEL_FEATURES) float32, all of the order of 1.

    rgb: (h, w, 3) float32, 0…1, at the working scale. p: (h, w) float32 hair probability, 0…1.
    check: called several times on the way; may raise to stop the work.

    Color (OKLab) of the pixel and around it; how much lightness varies around it, and how much of that in one direction
    (coherence of the structure tensor, Bigün, Granlund 1987); how far the color is from that of the photo's certain
    hair and from that of its certain rest, and how much oftener it occurs in the one than in the other; the
    probability there and in larger and larger neighbourhoods.
    """
    lab = rgb_to_oklab(rgb)
    check()
    lightness = np.ascontiguousarray(lab[..., 0])

    def mean(x, side):
        return cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT_101)

    features = [lab[..., c] for c in range(3)]
    for side in (5, 15):
        near = mean(lab, side)
        features += [near[..., c] for c in range(3)]
        features.append(4 * np.sqrt(np.maximum(mean(lightness**2, side) - near[..., 0] ** 2, 0)))
        check()
    dx, dy = cv2.Sobel(lightness, -1, 1, 0), cv2.Sobel(lightness, -1, 0, 1)
    xx, yy, xy = mean(dx * dx, 9), mean(dy * dy, 9), mean(dx * dy, 9)
    features.append(np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-4))
    check()
    features += _compare_colors(lab, p)
    check()
    odds = np.clip(p, 1e-3, 1 - 1e-3)
    features.append(np.log(odds / (1 - odds)) / 4)
    features += [p, *(mean(p, side) for side in (3, 9, 25, 75))]
    check()
    return np.stack(features, axis=2).astype(np.float32)


def _compare_colors(lab: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
    """Distances to the mean color of the certain hair and of the certain rest, and the log ratio of color frequencies."""
    bins = (lab * COLOR_BINS / (1, 0.5, 0.5) + (0, COLOR_BINS / 2, COLOR_BINS / 2)).astype(int)
    bins = np.clip(bins, 1, COLOR_BINS - 2)  # the outermost stay empty, so that the shifts below bring nothing around
    index = np.ravel_multi_index(tuple(bins.reshape(-1, 3).T), (COLOR_BINS,) * 3)
    distances, counts = [], []
    for sure in (p > CERTAIN_HAIR, p < 1 - CERTAIN_HAIR):
        center = lab[sure].mean(axis=0) if sure.any() else lab.mean(axis=(0, 1))
        distances.append(3 * np.linalg.norm(lab - center, axis=2))
        histogram = np.bincount(index[sure.reshape(-1)], minlength=COLOR_BINS**3).reshape((COLOR_BINS,) * 3)
        for axis in range(3):  # neighbouring colors count as well
            before, after = np.roll(histogram, -1, axis), np.roll(histogram, 1, axis)
            histogram = 0.25 * before + 0.5 * histogram + 0.25 * after
        counts.append((histogram.reshape(-1)[index] + 0.1) / (sure.sum() + 100))
    return [*distances, np.log(counts[0] / counts[1]).reshape(p.shape) / 4]


def reclassify(
    rgb: np.ndarray,
    p: np.ndarray,
    classify: Callable[[np.ndarray], np.ndarray],
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Decide the uncertain pixels again, each by what `pixel_features` says of it.

    rgb, p: as for `pixel_features`. classify: (n, PIXEL_FEATURES) float32 -> (n,) float32 probability, 0…1.
    report: called with the fraction done, 0…1, after each piece of the work; may raise to stop it.
    Returns (h, w) float32, 0…1; pixels outside UNCERTAIN_RANGE keep their probability.
    """
    out = p.copy()
    uncertain = np.flatnonzero((p > UNCERTAIN_RANGE[0]) & (p < UNCERTAIN_RANGE[1]))
    if uncertain.size:
        features = pixel_features(rgb, p, lambda: report(0.0)).reshape(-1, PIXEL_FEATURES)
        for start in range(0, uncertain.size, CLASSIFIED_AT_ONCE):
            report(start / uncertain.size)
            some = uncertain[start : start + CLASSIFIED_AT_ONCE]
            out.reshape(-1)[some] = np.clip(classify(features[some]), 0, 1)
    report(1.0)
    return out
