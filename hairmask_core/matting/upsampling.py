"""Coarse probability map -> matte at the photo's full resolution."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..photo.pixels import FULL_SCALE, bounded, check_map, check_rgb, to_float
from ..photo.proxy import resize_area
from ..photo.strips import work_in_strips
from .foreign_colors import doubt_foreign_colors
from .guided_filter import guided_filter_coefficients
from .matting_network import knows_hair, matting_coefficients

WORK_LONG_SIDE = 1536  # the filter's coefficients are fitted at this scale, then applied at full resolution
RADIUS = 3.0  # of the filter window, in pixels of the coarse map: as far as the network's outline may be off
EPSILON = 1e-3  # regularisation: guide variance below this counts as flat (guide in 0…1)
COEFFICIENTS_SHARE = 0.5  # share of the time until the coefficients are there
HAZE = 0.05  # probabilities within this of 0 and 1 become exactly 0 and 1, so that no veil covers the photo


def refine_outline(
    rgb: np.ndarray,
    coarse: np.ndarray,
    network: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Matte whose outline follows the photo's own edges.

    rgb: (H, W, 3) uint8, uint16 or float32 (0…1), the guide. coarse: (h, w) float32 in 0…1, any size.
    network: for `matting_coefficients`; without, and where the map is nowhere sure of hair, the guided filter takes its
    place.
    report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    Returns (H, W) float32 in 0…1. Memory beyond the result is bounded by strips, not by the photo.
    NaN counts as 0. Raises ValueError for arrays of another shape or type, and for empty ones.

    Method: where the map is unsure, colors that are foreign to the hair lower it (`foreign_colors`). The matte is a linear
    function of the color, whose coefficients are found on a reduced copy and applied at full resolution (He, Sun 2015,
    "Fast Guided Filter"). They are those of `matting_coefficients`, or of the guided filter with a color guide (He, Sun, Tang
    2013, "Guided Image Filtering", eq. 19-21).
    """
    check_rgb(rgb)
    check_map(coarse, np.shape(coarse), np.float32)
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK_LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide = bounded(to_float(resize_area(rgb, size)))
    target = cv2.resize(doubt_foreign_colors(guide, bounded(coarse)), size, interpolation=cv2.INTER_LINEAR)
    pixel = max(size) / max(coarse.shape)  # of the map, in pixels of the guide
    if network and knows_hair(target):
        coefficients = matting_coefficients(
            guide, target, pixel, network, lambda done: report(COEFFICIENTS_SHARE * done)
        )
    else:
        coefficients = guided_filter_coefficients(guide, target, max(1, round(RADIUS * pixel)), EPSILON)

    def apply(rows: slice) -> np.ndarray:
        here = _enlarge_rows(coefficients, rows, height, width)
        strip = bounded(rgb[rows]) if rgb.dtype == np.float32 else rgb[rows]
        colors = cv2.cvtColor(strip, cv2.COLOR_RGB2RGBA)  # the constant's factor is the full alpha
        parts = cv2.multiply(here, colors, scale=1 / FULL_SCALE[rgb.dtype], dtype=cv2.CV_32F)
        return clear_haze(cv2.transform(parts, np.ones((1, 4), np.float32)).reshape(strip.shape[:2]))

    matte = np.empty((height, width), np.float32)
    for rows, strip in work_in_strips(
        apply, height, width, lambda done: report(COEFFICIENTS_SHARE + (1 - COEFFICIENTS_SHARE) * done)
    ):
        matte[rows] = strip
    return matte


def enlarge_map(coarse: np.ndarray, width: int, height: int) -> np.ndarray:
    """The coarse map (h, w) float32 as it is, bilinearly brought to (height, width), range kept."""
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def clear_haze(p: np.ndarray) -> np.ndarray:
    """Stretch probabilities so that [HAZE, 1 - HAZE] becomes [0, 1], and clip; float32 of any shape."""
    return np.clip((p - HAZE) * np.float32(1 / (1 - 2 * HAZE)), 0, 1)


def _enlarge_rows(small: np.ndarray, rows: slice, height: int, width: int) -> np.ndarray:
    """Rows `rows` of `small` bilinearly enlarged to (height, width): the same values for any cut into strips."""
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (small.shape[0] / height) - 0.5
    y = np.clip(y, 0, small.shape[0] - 1)
    above = np.floor(y).astype(int)
    below = np.minimum(above + 1, small.shape[0] - 1)
    weight = (y - above).astype(np.float32)[:, None, None]
    band = small[above] * (1 - weight) + small[below] * weight
    return cv2.resize(band, (width, len(y)), interpolation=cv2.INTER_LINEAR)
