"""The hair that was found in a photo, and the statistics of its color."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..photo.oklab import oklab_to_rgb, rgb_to_oklab
from ..photo.pixels import Photo, bounded, to_float
from ..photo.scaled_map import ScaledMap

# Less of the photo than this counts as no hair: a head in the far background is larger.
NO_HAIR_SHARE = 0.0005
TONE_PIXELS = 1 << 20  # of the photo, from which the hair's tone is measured

EXTREMES = (0.01, 0.995)  # quantiles of the hair's lightness that count as its dark and its bright end


@dataclass(frozen=True)
class HairTone:
    """The hair's color in OKLab: median lightness 0…1, a and b about -0.4…0.4; low and high are its dark and its
    bright end, the EXTREMES of its lightness."""

    lightness: float
    a: float
    b: float
    low: float
    high: float


@dataclass(frozen=True)
class Hair:
    """What was found in one photo.

    matte: (H, W) float32 hair probability, 0…1. tone: the hair's median color.
    share: of the working-scale pixels with probability >= 0.5, 0…1.
    notices: sentences for the user on how it was found: of a device that failed, where one did.
    edges: what tells hair and what is behind it apart along the outline (`matting.foreground`); None: every pixel counts
    as hair throughout.
    """

    matte: np.ndarray
    tone: HairTone
    share: float
    notices: tuple[str, ...] = ()
    edges: ScaledMap | None = None

    @property
    def found(self) -> bool:
        """Whether there is any hair worth mentioning."""
        return self.share >= NO_HAIR_SHARE


def measure_tone(rgb: np.ndarray, p: np.ndarray) -> HairTone:
    """Median OKLab color of the hair, and the range of its lightness.

    rgb: (h, w, 3) float32 sRGB, 0…1, neither shrunk nor smoothed, which would take the finest highlights away.
    p: (h, w) float32 hair probability. Pixels with p >= 0.9 count, where skin and background hardly mix in; else those
    with p >= 0.5; else all (the photo is then recolored as if it were hair).
    """
    colors = next((rgb[p >= level] for level in (0.9, 0.5) if (p >= level).any()), rgb.reshape(-1, 3))
    lab = rgb_to_oklab(np.ascontiguousarray(colors)[None])[0]
    lightness, a, b = np.median(lab, axis=0)
    low, high = np.quantile(lab[:, 0], EXTREMES)
    return HairTone(float(lightness), float(a), float(b), float(low), float(high))


def tone_color(tone: HairTone) -> tuple[float, float, float]:
    """The hair's median color, sRGB-encoded, each 0…1: as a shade it gives other hair that color."""
    red, green, blue = map(float, oklab_to_rgb(np.array([[[tone.lightness, tone.a, tone.b]]], np.float32))[0, 0])
    return red, green, blue


def sampling_step(pixels: int) -> int:
    """The step in both directions with which about TONE_PIXELS of so many pixels are looked at."""
    return max(1, round((pixels / TONE_PIXELS) ** 0.5))


def sample_photo(photo: Photo, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every so many pixels in both directions, TONE_PIXELS about: (h, w, 3) float32, 0…1, and their probability (h, w).

    What is transparent is no hair.
    """
    step = sampling_step(matte.size)
    p = np.ascontiguousarray(matte[::step, ::step])
    if photo.alpha is not None:
        p = p * bounded(to_float(np.ascontiguousarray(photo.alpha[::step, ::step])))
    return bounded(to_float(np.ascontiguousarray(photo.rgb[::step, ::step]))), p
