"""The hair that was found in a photo, and the statistics of its color."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..photo.light import NEUTRAL, Illuminant
from ..photo.oklab import oklab_to_rgb, perceived, rgb_to_oklab, unperceived
from ..photo.pixels import Photo, bounded, to_float
from ..photo.scaled_map import ScaledMap

# Less of the photo than this counts as no hair: a head in the far background is larger.
NO_HAIR_SHARE = 0.0005
TONE_PIXELS = 1 << 20  # of the photo, from which the hair's tone is measured

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)  # of the hair's lightness that are measured
LIT = 0.7  # quantile of its lightness, where light falls on hair but does not gleam: there its color shows
TREND_BINS = 20  # equally many pixels each, for which the hair's color is told
TREND_PIXELS = 1 << 16  # by which it is told


@dataclass(frozen=True)
class HairTone:
    """The hair's lightness and color.

    Lightness is OKLab's, made to run like CIE L* / 100 (`oklab.perceived`), 0…1; a and b are OKLab's, -0.4…0.4.
    quantiles: the QUANTILES of its lightness. trend: (lightness, a, b) of a row of lightnesses, from dark to bright.
    spread: standard deviation of a and b together around that trend. light: all of that is as if it were white.
    """

    quantiles: tuple[float, ...]
    trend: tuple[tuple[float, float, float], ...]
    spread: float
    light: Illuminant = NEUTRAL

    @property
    def lit(self) -> tuple[float, float, float]:
        """Lightness, a and b of the hair where light falls on it but does not gleam."""
        lightness = float(np.interp(LIT, QUANTILES, self.quantiles))
        at, *colors = np.array(self.trend).T
        a, b = (float(np.interp(lightness, at, color)) for color in colors)
        return lightness, a, b


@dataclass(frozen=True)
class HairMatte:
    """Where hair was found in one photo.

    matte: (H, W) float32 hair probability, 0…1. share: of the working-scale pixels with probability >= 0.5, 0…1.
    notices: sentences for the user on how it was found: of a device that failed, where one did.
    """

    matte: np.ndarray
    share: float
    notices: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether there is any hair worth mentioning."""
        return self.share >= NO_HAIR_SHARE


@dataclass(frozen=True)
class Hair(HairMatte):
    """The hair that was found, with all that recoloring has to know of it.

    tone: the hair's lightness and color. base: of the photo; see `find_base`. None: to be found when it is needed.
    edges: what tells hair and what is behind it apart along the outline (`matting.foreground`); None: every pixel counts
    as hair throughout.
    """

    tone: HairTone = field(kw_only=True)
    edges: ScaledMap | None = field(default=None, kw_only=True)
    base: ScaledMap | None = field(default=None, kw_only=True)


def measure_tone(rgb: np.ndarray, p: np.ndarray, light: Illuminant = NEUTRAL) -> HairTone:
    """The hair's lightness and color, in that light.

    rgb: (h, w, 3) float32 sRGB, 0…1, neither shrunk nor smoothed, which would take the finest highlights away.
    p: (h, w) float32 hair probability. Pixels with p >= 0.9 count, where skin and background hardly mix in; else those
    with p >= 0.5; else all (the photo is then recolored as if it were hair).
    """
    colors = next((rgb[p >= level] for level in (0.9, 0.5) if (p >= level).any()), rgb.reshape(-1, 3))
    colors = colors[:: max(1, len(colors) // TREND_PIXELS)]
    lab = rgb_to_oklab(np.ascontiguousarray(colors)[None], light)[0].astype(float)
    lab[:, 0] = perceived(np.clip(lab[:, 0], 0, 1))
    trend, spread = color_trend(lab)
    quantiles = np.quantile(lab[:, 0], QUANTILES)
    rows = tuple((float(x), float(a), float(b)) for x, a, b in trend)
    return HairTone(tuple(map(float, quantiles)), rows, spread, light)


def color_trend(lab: np.ndarray) -> tuple[np.ndarray, float]:
    """How color goes with lightness.

    lab: (n, 3) float64, perceived lightness, a, b; n >= 1. Returns (m, 3): of TREND_BINS groups of pixels, from dark
    to bright and equally many, the mean lightness and the median a and b; and the standard deviation of a and b around
    the line through them.
    """
    groups = [group for group in np.array_split(lab[np.argsort(lab[:, 0])], TREND_BINS) if len(group)]
    trend = np.array([[group[:, 0].mean(), *np.median(group[:, 1:], axis=0)] for group in groups])
    usual = [np.interp(lab[:, 0], trend[:, 0], trend[:, i]) for i in (1, 2)]
    return trend, float(np.sqrt(sum((lab[:, i] - usual[i - 1]).var() for i in (1, 2))))


def tone_color(tone: HairTone) -> tuple[float, float, float]:
    """The color of the hair where it is lit, sRGB-encoded, each 0…1: as a shade it gives other hair that color."""
    lightness, a, b = tone.lit
    lab = np.array([[[unperceived(np.float64(lightness)), a, b]]], np.float32)
    red, green, blue = map(float, oklab_to_rgb(lab)[0, 0])
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
