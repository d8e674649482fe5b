"""Photo + shade -> recolored photo, defined on every pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .image import from_float, strips
from .oklab import LAB_TO_LMS, LMS_TO_RGB, oklab_to_rgb, rgb_to_oklab

CURVE_SIZE = 1024  # entries of the lightness and color curves, over OKLab lightness 0…1
KEPT_VARIATION = 0.3  # share of the hair's own color variation that stays
VARIATION_LIMIT = 0.04  # OKLab chroma at which that variation is compressed to half


@dataclass(frozen=True)
class HairTone:
    """The middle of the hair's color in OKLab: lightness 0…1, a and b about -0.4…0.4."""

    lightness: float
    a: float
    b: float


def measure_tone(rgb: np.ndarray, p: np.ndarray) -> HairTone:
    """Median OKLab color of the hair.

    rgb: (h, w, 3) float32 sRGB, 0…1. p: (h, w) float32 hair probability. Pixels with p >= 0.9 count,
    where skin and background hardly mix in; else those with p >= 0.5; else all (the photo is then
    recolored as if it were hair).
    """
    lab = rgb_to_oklab(rgb)
    values = next((lab[p >= level] for level in (0.9, 0.5) if (p >= level).any()), lab.reshape(-1, 3))
    return HairTone(*(float(v) for v in np.median(values, axis=0)))


def recolor(
    rgb: np.ndarray,
    tone: HairTone,
    shade: tuple[float, float, float],
    strength: float = 1.0,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Every pixel recolored as if it were hair of the measured tone dyed in the shade.

    rgb: (H, W, 3) uint8, uint16 or float32, sRGB-encoded. tone: of the photo's hair.
    shade: sRGB-encoded, each 0…1. strength: 0 gives the input to the bit, 1 the full shade.
    report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    Returns (H, W, 3) of the same dtype. Raises ValueError for a strength outside 0…1.

    Method: in OKLab (Ottosson 2020), lightness goes through a monotone curve that takes the hair's
    median to the shade's (`lightness_curve`); hue is the shade's; chroma follows lightness
    (`color_curve`), fading towards white so that specular highlights stay white. A share of the
    hair's own color variation around its median is kept, so that strands stay apart.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: it must be between 0 and 1.")
    if strength == 0:
        return rgb.copy()
    target = rgb_to_oklab(np.array(shade, np.float32).reshape(1, 1, 3))[0, 0]
    lightness = lightness_curve(tone.lightness, float(target[0]))
    chroma = color_curve(target)
    height, width = rgb.shape[:2]
    out = np.empty_like(rgb)
    for rows in strips(height, width):
        lab = rgb_to_oklab(rgb[rows])
        new = _recolor_lab(lab, tone, lightness, chroma)
        if strength < 1:
            new = cv2.addWeighted(lab, 1 - strength, new, strength, 0)
        out[rows] = from_float(oklab_to_rgb(new), rgb.dtype)
        report(rows.stop / height)
    return out


def _recolor_lab(lab: np.ndarray, tone: HairTone, lightness: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    l, a, b = cv2.split(lab)
    l = _look_up(lightness, l)
    variation_a, variation_b = a - np.float32(tone.a), b - np.float32(tone.b)
    keep = KEPT_VARIATION / (1 + cv2.magnitude(variation_a, variation_b) / VARIATION_LIMIT)
    return cv2.merge(
        [l, _look_up(chroma[:, 0], l) + keep * variation_a, _look_up(chroma[:, 1], l) + keep * variation_b]
    )


def lightness_curve(hair: float, shade: float) -> np.ndarray:
    """Monotone curve over OKLab lightness that takes the hair's median to the shade's lightness.

    hair, shade: OKLab lightness, 0…1. Returns (CURVE_SIZE,) float32: new lightness at inputs 0…1.

    The slope at the median lies between an even shift (1) and the multiplication of reflectance
    (shade / hair): their geometric mean, so that shadows between strands stay deep in both directions
    and noise in black hair is not blown up. Above the median the curve bends towards white, so that
    highlights stay highlights. Monotone cubic through three knots (Fritsch, Carlson 1980).
    """
    hair, shade = min(max(hair, 0.02), 0.98), min(max(shade, 0.02), 0.98)
    ratio = shade / hair
    slope = min(max(ratio**0.5, 0.4), 2.0)
    bottom = max(0.0, shade - slope * hair)
    top = 1.0 if ratio > 1 else shade + (1 - shade) * 0.8
    below, above = (shade - bottom) / hair, (top - shade) / (1 - hair)
    middle = min(slope, 3 * below, 3 * above)
    knots = ((0.0, bottom, below), (hair, shade, middle), (1.0, top, above))
    x = np.linspace(0, 1, CURVE_SIZE)
    curve = np.empty(CURVE_SIZE)
    for (x0, y0, m0), (x1, y1, m1) in zip(knots, knots[1:]):
        inside = (x >= x0) & (x <= x1)
        t, span = (x[inside] - x0) / (x1 - x0), x1 - x0
        curve[inside] = (
            (1 + 2 * t) * (1 - t) ** 2 * y0
            + t * (1 - t) ** 2 * span * m0
            + t * t * (3 - 2 * t) * y1
            + t * t * (t - 1) * span * m1
        )
    return np.maximum.accumulate(np.clip(curve, 0, 1)).astype(np.float32)


def color_curve(shade: np.ndarray) -> np.ndarray:
    """OKLab a and b over lightness, for hair dyed in one shade.

    shade: OKLab (3,). Returns (CURVE_SIZE, 2) float32 at lightness 0…1: the shade's own a and b at
    the shade's lightness, fading to 0 at black and at white, and inside the sRGB gamut everywhere.
    """
    lightness, a, b = (float(v) for v in shade)
    l = np.linspace(0, 1, CURVE_SIZE)
    fade = np.where(
        l <= lightness,
        (l / max(lightness, 1e-3)) ** 0.5,
        (np.clip(1 - l, 0, 1) / max(1 - lightness, 1e-3)) ** 0.5,
    )
    # The largest share of that color that sRGB can show at each lightness, by bisection.
    low, high = np.zeros(CURVE_SIZE), fade
    for _ in range(20):
        middle = (low + high) / 2
        lab = np.stack([l, middle * a, middle * b], axis=1)
        linear = (lab @ LAB_TO_LMS.T) ** 3 @ LMS_TO_RGB.T
        fits = ((linear >= -1e-6) & (linear <= 1 + 1e-4)).all(axis=1)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    share = np.where(fits, high, low)
    return np.stack([share * a, share * b], axis=1).astype(np.float32)


def _look_up(curve: np.ndarray, l: np.ndarray) -> np.ndarray:
    """Linear interpolation of a curve over 0…1 at every lightness (h, w) float32."""
    position = np.clip(l, 0, 1) * np.float32(CURVE_SIZE - 1)
    index = np.minimum(position.astype(np.int32), CURVE_SIZE - 2)
    fraction = position - index.astype(np.float32)
    return curve[index] * (1 - fraction) + curve[index + 1] * fraction
