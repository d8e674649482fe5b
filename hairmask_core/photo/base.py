"""Photo -> its base, the large forms of light, shade and color, as apart from the detail, which is single strands."""

from __future__ import annotations

import cv2
import numpy as np

from .light import NEUTRAL, Illuminant
from .oklab import perceived, rgb_to_oklab
from .pixels import bounded, to_float
from .proxy import shrink
from .scaled_map import ScaledMap

LONG_SIDE = 1000  # pixels at which it is found: it changes slowly
RADIUS = 0.01  # of the long side: strands are finer, locks and the head's rounding larger
EDGE = 0.03  # step of lightness from which it is an edge and belongs to the base
# One level of 8 bits, by which compressed photos are off everywhere, is this much lightness near black (the slope of
# CIE L* / 100 there, 9.033, over 255 · 12.92) and less than twice as much anywhere.
NOISE = 0.004
LEAST_REST = 0.01  # of 1 - slope: no photo has less, but floats may
SURENESS = 16  # power of the probability by which a pixel counts: half-sure pixels are half background
ELSEWHERE = 1e-4  # weight of what is no hair, lest there be nothing around
FARTHER, FARTHER_WEIGHT = 5, 0.05  # where there is no sure hair around, squares so many times as large count
CHANNELS = 5  # of the map, see `find_base`


def find_base(rgb: np.ndarray, light: Illuminant = NEUTRAL, matte: np.ndarray | None = None) -> ScaledMap:
    """The base of a photo's lightness, and the colors around.

    rgb: (H, W, 3 or more) uint8, uint16 or float32, sRGB-encoded; what follows blue does not count, NaN counts as 0.
    light: as if it were white. matte: (H, W) float32 hair probability, 0…1, by which what is around counts, so that skin
    and background do not; None: all alike.
    Returns a map of CHANNELS values: at a pixel of lightness x (`oklab.perceived`), the base is the first times x, plus the
    second; the third, 0…1, is how much of what differs from it nearby is no noise; then OKLab a and b, the means
    around.

    Method: base and detail (Durand, Dorsey 2002, "Fast bilateral filtering for the display of high-dynamic-range
    images") by the guided filter (He, Sun, Tang 2013), whose coefficients are found at a smaller scale (He, Sun 2015,
    "Fast guided filter"); the share of the signal in local variance is Wiener's: (variance - noise) / variance.
    """
    height, width = rgb.shape[:2]
    small = shrink(np.ascontiguousarray(rgb[..., :3]), LONG_SIDE)
    lab = rgb_to_oklab(np.ascontiguousarray(bounded(to_float(small))), light)
    x = perceived(np.clip(lab[..., 0], 0, 1)).astype(np.float32)
    side = 2 * max(1, round(RADIUS * max(x.shape))) + 1
    hair = np.ones_like(x)
    if matte is not None:
        hair = cv2.pow(shrink(matte, LONG_SIDE), SURENESS).reshape(x.shape) + np.float32(ELSEWHERE)

    def around(values: np.ndarray) -> np.ndarray:
        near, far = (cv2.blur(values, (one, one), borderType=cv2.BORDER_REFLECT) for one in (side, FARTHER * side))
        return near + np.float32(FARTHER_WEIGHT) * far

    of_hair = 1 / around(hair)

    def mean(values: np.ndarray) -> np.ndarray:
        return around(values * hair) * of_hair

    middle = mean(x)
    variance = np.maximum(mean(x * x) - middle * middle, 0)
    slope = variance / (variance + np.float32(EDGE**2))
    signal = np.maximum(variance - np.float32(NOISE**2), 0) / np.maximum(variance, np.float32(1e-9))
    colors = (mean(np.ascontiguousarray(lab[..., i])) for i in (1, 2))
    return ScaledMap(cv2.merge([mean(slope), mean(middle - slope * middle), signal, *colors]), height, width)
