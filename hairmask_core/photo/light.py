"""Photo -> the light in it, its color and how bright it is: hair of any color is seen in it."""

from __future__ import annotations

import cv2
import numpy as np

from .oklab import srgb_to_linear
from .pixels import bounded, to_float
from .proxy import shrink

# Red, green and blue of what is white in it, linear, with a luminance of 1 at most.
Illuminant = tuple[float, float, float]
NEUTRAL: Illuminant = (1.0, 1.0, 1.0)
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear sRGB (IEC 61966-2-1)

LONG_SIDE = 400  # pixels at which it is looked for
NORM = 6  # the higher, the more only the strongest edges count
BRIGHTEST = 0.98  # encoded: more may be cut off, and tells nothing
# Edges of skin and hair are warm: so much, as logarithms of red and blue by green, that light looks warmer than it is in
# portraits: 0.10 and -0.04 in the median of photos for training (`python -m benchmarks.light --warmth` gives 0.103 and
# -0.045; these are of a first measurement, at another scale, and the difference is far below what photos differ by).
WARMTH = (0.096, -0.038)
# How far the logarithm of red by blue must be from 0 to be light and no chance: from there on it begins to count, from
# here on it counts fully. Photos are mostly taken with the camera's white balance, and estimates spread by 0.19.
CHANCE = (0.1, 0.4)
FARTHEST = 2.5  # of those logarithms: a candle's light has 2.4

# In full light, a hundredth of a photo has this luminance or more (CIE L* 85). So it is, even without the hair, in nine of ten
# photos of hair that is above L* 76 where it is lit; but 37 % of the photos of dark hair have less
# (`python -m benchmarks.light --brightness`).
LIGHTEST, FULL = 0.99, 0.66
DIMMEST = 0.25  # luminance of white, for photos that are as good as black


def estimate_illuminant(rgb: np.ndarray) -> Illuminant:
    """The light in a photo.

    rgb: (H, W, 3 or more) uint8, uint16 or float32, sRGB-encoded; what follows blue does not count, NaN counts as 0.
    Returns linear red, green and blue of a white surface in it; NEUTRAL where it is near to that.

    Method: the color by `estimate_color`, its luminance by the white patch (Land, McCann 1971, "Lightness and retinex theory";
    with smoothing before, Funt, Shi 2010, "The rehabilitation of MaxRGB"): what is lightest is nearly white.
    """
    brightness = estimate_brightness(rgb)
    red, green, blue = (brightness * part for part in estimate_color(rgb))
    return red, green, blue


def estimate_brightness(rgb: np.ndarray) -> float:
    """The luminance of a white surface in a photo, DIMMEST…1; 1 where there is full light. rgb: as above."""
    small = bounded(to_float(shrink(np.ascontiguousarray(rgb[..., :3]), LONG_SIDE)))
    luminance = cv2.blur(srgb_to_linear(small) @ np.array(LUMINANCE, np.float32), (3, 3))
    return float(np.clip(np.quantile(luminance, LIGHTEST) / FULL, DIMMEST, 1))


def estimate_color(rgb: np.ndarray) -> Illuminant:
    """The color of the light in a photo: linear red, green and blue, with a luminance of 1. rgb: as above.

    Method: gray edge of second order (van de Weijer, Gevers, Gijsenij 2007, "Edge-based color constancy"): the Minkowski
    norm of the Laplacian is as large in all channels, on the average of what there is in the world.
    """
    found = edge_ratios(rgb)
    if found is None:  # nothing that tells
        return NEUTRAL
    red, blue = np.array(found) - WARMTH
    away = abs(red - blue)
    shrink = min(1.0, FARTHEST / max(away, abs(red), abs(blue), 1e-6))
    sure = shrink * np.clip((away - CHANCE[0]) / (CHANCE[1] - CHANCE[0]), 0, 1)
    if sure == 0:
        return NEUTRAL
    white = np.exp([sure * red, 0, sure * blue])
    white /= white @ LUMINANCE
    return float(white[0]), float(white[1]), float(white[2])


def edge_ratios(rgb: np.ndarray) -> tuple[float, float] | None:
    """Logarithms of how much stronger edges are in red, and in blue, than in green; None where there are hardly any.

    rgb: as for `estimate_illuminant`.
    """
    small = bounded(to_float(shrink(np.ascontiguousarray(rgb[..., :3]), LONG_SIDE)))
    known = cv2.erode((small.max(axis=2) < BRIGHTEST).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    smooth = cv2.GaussianBlur(srgb_to_linear(small), (0, 0), 1.0)
    edges = np.abs(cv2.Laplacian(smooth, cv2.CV_32F))[known].astype(np.float64)
    strength = (edges**NORM).mean(axis=0) ** (1 / NORM) if len(edges) else np.zeros(3)
    if strength.min() < 1e-5:
        return None
    return float(np.log(strength[0] / strength[1])), float(np.log(strength[2] / strength[1]))
