"""Coarse probability map -> matte at the photo's full resolution."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .image import strips, to_float

WORK_LONG_SIDE = 1536  # the filter's coefficients are fitted at this scale, then applied at full resolution
RADIUS = 3.0  # of the filter window, in pixels of the coarse map: as far as the network's outline may be off
EPSILON = 1e-3  # regularisation: guide variance below this counts as flat (guide in 0…1)
HAZE = 0.05  # probabilities within this of 0 and 1 become exactly 0 and 1, so that no veil covers the photo


def refine(
    rgb: np.ndarray,
    coarse: np.ndarray,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Matte whose outline follows the photo's own edges.

    rgb: (H, W, 3) uint8, uint16 or float32 (0…1), the guide. coarse: (h, w) float32 in 0…1, any size.
    report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    Returns (H, W) float32 in 0…1. Memory beyond the result is bounded by strips, not by the photo.

    Method: guided filter with a color guide (He, Sun, Tang 2013, "Guided Image Filtering", eq. 19-21),
    its coefficients fitted on a reduced copy and applied at full resolution (He, Sun 2015, "Fast
    Guided Filter").
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK_LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide = np.clip(to_float(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)), 0, 1)
    target = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    radius = max(1, round(RADIUS * max(size) / max(coarse.shape)))
    coefficients = guided_filter_coefficients(guide, target, radius, EPSILON)

    matte = np.empty((height, width), np.float32)
    for rows in strips(height, width):
        here = _enlarge_rows(coefficients, rows, height, width)
        strip = np.clip(to_float(rgb[rows]), 0, 1)
        value = cv2.transform(cv2.multiply(here[..., :3], strip), np.ones((1, 3), np.float32))
        matte[rows] = clear_haze(value.reshape(strip.shape[:2]) + here[..., 3])
        report(rows.stop / height)
    return matte


def enlarge(coarse: np.ndarray, width: int, height: int) -> np.ndarray:
    """The coarse map (h, w) float32 as it is, bilinearly brought to (height, width), range kept."""
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def clear_haze(p: np.ndarray) -> np.ndarray:
    """Stretch probabilities so that [HAZE, 1 - HAZE] becomes [0, 1], and clip; float32 of any shape."""
    return np.clip((p - HAZE) * np.float32(1 / (1 - 2 * HAZE)), 0, 1)


def guided_filter_coefficients(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Window-averaged linear coefficients of the color guided filter.

    guide: (h, w, 3) float32. target: (h, w) float32. radius: pixels. epsilon: variance, guide's units².
    Returns (h, w, 4) float32: the filtered target is `(c[..., :3] * guide).sum(-1) + c[..., 3]`.

    Method: He, Sun, Tang 2013, eq. 19-21; the 3x3 systems are solved in closed form by cofactors.
    """

    def mean(x):
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    # The systems are near-singular where the guide is gray, so they are solved in double precision.
    target = target.astype(np.float64)
    r, g, b = cv2.split(guide.astype(np.float64))
    mean_r, mean_g, mean_b, mean_p = mean(r), mean(g), mean(b), mean(target)
    rr = mean(r * r) - mean_r * mean_r + epsilon
    gg = mean(g * g) - mean_g * mean_g + epsilon
    bb = mean(b * b) - mean_b * mean_b + epsilon
    rg = mean(r * g) - mean_r * mean_g
    rb = mean(r * b) - mean_r * mean_b
    gb = mean(g * b) - mean_g * mean_b
    rp = mean(r * target) - mean_r * mean_p
    gp = mean(g * target) - mean_g * mean_p
    bp = mean(b * target) - mean_b * mean_p
    # Cofactors of the symmetric covariance matrix.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    a_r = (c_rr * rp + c_rg * gp + c_rb * bp) / determinant
    a_g = (c_rg * rp + c_gg * gp + c_gb * bp) / determinant
    a_b = (c_rb * rp + c_gb * gp + c_bb * bp) / determinant
    offset = mean_p - a_r * mean_r - a_g * mean_g - a_b * mean_b
    return cv2.merge([mean(a_r), mean(a_g), mean(a_b), mean(offset)]).astype(np.float32)


def _enlarge_rows(small: np.ndarray, rows: slice, height: int, width: int) -> np.ndarray:
    """Rows `rows` of `small` bilinearly enlarged to (height, width): the same values for any cut into strips."""
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (small.shape[0] / height) - 0.5
    y = np.clip(y, 0, small.shape[0] - 1)
    above = np.floor(y).astype(int)
    below = np.minimum(above + 1, small.shape[0] - 1)
    weight = (y - above).astype(np.float32)[:, None, None]
    band = small[above] * (1 - weight) + small[below] * weight
    return cv2.resize(band, (width, len(y)), interpolation=cv2.INTER_LINEAR)
