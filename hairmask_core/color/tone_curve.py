"""Tone of hair + shade -> the curves of the tone transform."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from ..photo.light import Illuminant
from ..photo.oklab import oklab_to_rgb, perceived, rgb_to_oklab, unperceived
from .gamut import DARKEST, LIGHTEST
from .transform import ToneTransform, gamut_shares

Color = tuple[float, float, float]  # sRGB-encoded, each 0…1
LEVEL = 0.09  # of perceived lightness between two levels of depth: from black, 1, to platinum, 10, are nine
CURVE_SIZE = 1024  # entries of every curve, over perceived lightness 0…1
LIT = 0.7  # as in hair/tone.py: the quantile of lightness at which hair shows its color

# Lightness, see `lightness_curve`.
NATURAL = 0.95  # how far the hair's quantiles go to those of real hair so light: the rest is what is its own
STEEPEST = 5.0  # slope of the curve: crushed blacks, in which there is little but noise, are not spread further
SMOOTHING = 0.015  # of lightness, over which slopes are averaged, so that the curve has no corners (standard deviation)
CLOSEST = 0.004  # lightness between two quantiles at least

# Color, see `color_curves`.
NATURAL_HUE = 62.0  # degrees: the middle of the hues that hair has without dye
HUE_REACH, HUE_FADE = 40.0, 30.0  # degrees from it: so far off a hue still turns fully; beyond, less, until not at all

# Variation around the curves, see `variation`; by what tells recolored crops of choice and training photos from real ones.
LEAN = 0.15  # of the distribution of lightness around a pixel, for each 1 of skewness that it is to lose
STRANDS = 0.7  # of single pixels' color that counts as their own: the rest is noise and compression
HIDDEN, HIDDEN_DEPTH = 3.5, 0.3  # of color beyond the table's, in hair made so much lighter: 8 bits hide it in the dark
SPREAD_GAIN = (0.3, 1.5)  # of what the photo's hair varies less or more than usual that is made up for


class Tone(Protocol):
    """What has to be known of the hair; see `hair.tone.HairTone`."""

    @property
    def quantiles(self) -> tuple[float, ...]: ...
    @property
    def spread(self) -> float: ...
    @property
    def lit(self) -> tuple[float, float, float]: ...
    @property
    def light(self) -> Illuminant: ...
    @property
    def trend(self) -> tuple[tuple[float, float, float], ...]: ...


class RealHair(NamedTuple):
    """What real hair is like; benchmarks/hair_tones.py measures it.

    quantiles: (q,), of its lightness. medians: (n,), lightness of hair. offsets: (n, q), of the quantiles of hair so
    light from its median. skew: (n,), of its lightness around a pixel. spread: (n,), of its color; fine, along, across:
    (n,), of single strands' color, and of their surroundings' along the axis of hue, degrees, and across it. colorful: (n,),
    its chroma where it is lit. chroma: (m,), share of the chroma of its middle that hair has at lightnesses evenly spaced, those of m equal parts. hue_turn: degrees
    towards yellow over all of lightness.
    """

    quantiles: np.ndarray
    medians: np.ndarray
    offsets: np.ndarray
    skew: np.ndarray
    spread: np.ndarray
    fine: np.ndarray
    along: np.ndarray
    across: np.ndarray
    colorful: np.ndarray
    chroma: np.ndarray
    hue_turn: float
    axis: float


@functools.cache
def real_hair() -> RealHair:
    """The table in `hair_tones.json`."""
    table = json.loads((Path(__file__).parent / "hair_tones.json").read_text(encoding="utf-8"))
    medians, offsets, skew, spread, fine, along, across, colorful = (
        np.array([depth[name] for depth in table["depths"]])
        for name in ("median", "offsets", "skew", "spread", "fine", "along", "across", "colorful")
    )
    return RealHair(
        np.array(table["quantiles"]), medians, offsets, skew, spread, fine, along, across, colorful,
        np.array(table["chroma"]), table["hue_turn"], table["axis"],
    )  # fmt: skip


def make_transform(tone: Tone, shade: Color, shine: float = 0.0) -> ToneTransform:
    """What becomes of hair of that tone in that shade.

    shade: what the hair then shows where light falls on it but does not gleam. shine: of `lightness_curve`. The
    transform's curves have CURVE_SIZE entries.
    """
    lit, a, b = split_color(shade)
    median = median_of(lit)
    curve = lightness_curve(tone, lit, median, shine)
    curves = np.vstack([curve, *color_curves(lit, a, b), np.gradient(curve, 1 / (CURVE_SIZE - 1))]).astype(np.float32)
    return ToneTransform(curves, usual_color(tone), variation(tone, median, float(np.hypot(a, b))), tone.light)


def variation(tone: Tone, median: float, chroma: float) -> np.ndarray:
    """How hair of that tone has to vary to be like real hair of that median lightness: as `ToneTransform` has it.

    By the table: hair of the tone's own depth, and of the new one. What the photo's hair varies more or less than usual
    is made up for, within SPREAD_GAIN. chroma: of the shade; one paler than real hair varies as much less.
    """
    real = real_hair()
    own = float(np.interp(0.5, real.quantiles, tone.quantiles))

    def both(values: np.ndarray) -> tuple[float, float]:
        old, new = np.interp((own, median), real.medians, values)
        return float(old), float(new)

    old, new = both(real.skew)
    lean = LEAN * (old - new)
    usual = np.clip(both(real.spread)[0] / max(tone.spread, 1e-4), *SPREAD_GAIN)
    fine, along, across = (usual * new / old for old, new in map(both, (real.fine, real.along, real.across)))
    along *= 1 + (HIDDEN - 1) * np.clip((median - own) / HIDDEN_DEPTH, 0, 1)
    along /= max(chroma, both(real.colorful)[1])
    x, y = np.cos(np.radians(real.axis)), np.sin(np.radians(real.axis))
    return np.array(
        [lean, STRANDS * fine, along * x, along * y, across * y * y, -across * x * y, across * x * x], np.float32
    )


def split_color(color: Color) -> tuple[float, float, float]:
    """Perceived lightness, and OKLab a and b, of a color."""
    lightness, a, b = rgb_to_oklab(np.array(color, np.float32).reshape(1, 1, 3))[0, 0].astype(float)
    return float(perceived(lightness)), a, b


def change_depth(color: Color, levels: float) -> Color:
    """A shade so many levels lighter, or darker if below 0: as colorful as real hair of that hue is at that depth.

    Returns the color itself for 0, and no lighter or darker one than there is.
    """
    if levels == 0:
        return color
    lit, a, b = split_color(color)
    bottom, top = (float(perceived(np.float64(end))) for end in (DARKEST, LIGHTEST))
    new = min(max(lit + LEVEL * levels, bottom), top)
    a, b = (float(np.interp(new, np.linspace(0, 1, CURVE_SIZE), curve)) for curve in color_curves(lit, a, b))
    red, green, blue = oklab_to_rgb(np.array([[[unperceived(np.float64(new)), a, b]]], np.float32))[0, 0].tolist()
    return red, green, blue


def usual_color(tone: Tone) -> np.ndarray:
    """The hair's own color by its lightness, as `ToneTransform` has it: the cubics nearest to its trend."""
    x, *colors = np.array(tone.trend).T
    middle = (x[0] + x[-1]) / 2
    fits = (np.polyfit(x - middle, color, 3) if np.ptp(x) > 0.05 else [0, 0, 0, np.median(color)] for color in colors)
    return np.array([[end, *fit[::-1]] for end, fit in zip((x[0], x[-1]), fits)], np.float32)


def quantiles_at(median: float) -> np.ndarray:
    """The quantiles of lightness of real hair whose median is that: (q,), before 0 and 1 limit them."""
    real = real_hair()
    return median + np.array([np.interp(median, real.medians, offsets) for offsets in real.offsets.T])


def median_of(lit: float) -> float:
    """The median lightness of real hair that is so light where it is lit (`hair.tone.LIT`)."""
    return float(np.interp(lit, *_lit_medians()))


@functools.cache
def _lit_medians() -> tuple[np.ndarray, np.ndarray]:
    """How light hair is where it is lit, and its median: both rising."""
    medians = np.linspace(0, 1, 501)
    return np.array([lit_of(quantiles_at(median)) for median in medians]), medians


def lit_of(quantiles: np.ndarray) -> float:
    """The quantile LIT out of the others."""
    return float(np.interp(LIT, real_hair().quantiles, quantiles))


def lightness_curve(tone: Tone, lit: float, median: float, shine: float = 0.0) -> np.ndarray:
    """Monotone curve over the lightness of the hair's base.

    lit: lightness of the shade, 0…1. median: of real hair in that shade. All lightness is perceived. shine: -1…1, what is
    lighter than the shade is so by 2 to the power of it as much.
    Returns (CURVE_SIZE,), new lightness, within that of DARKEST…LIGHTEST.

    Histogram matching (Gonzalez, Woods) to real hair that is as light as the shade: the hair's quantiles go NATURAL of
    the way to those of real hair, the rest to their own form stretched to the same range. Between them the curve is
    straight, no steeper than STEEPEST, its corners rounded. It meets the shade where the hair is lit, exactly.
    """
    bottom, top = (float(perceived(np.float64(end))) for end in (DARKEST, LIGHTEST))
    old = _apart(np.array(tone.quantiles), 0.0, 1.0)
    form, real = old - np.median(old), quantiles_at(median)
    form *= np.clip((real[-2] - real[1]) / max(form[-2] - form[1], 0.02), 0.5, 2)
    new = NATURAL * real + (1 - NATURAL) * (median + form)
    new += lit - lit_of(new)
    new = np.where(new > lit, lit + 2**shine * (new - lit), new)
    new = _apart(np.clip(new, bottom, top), bottom, top)
    slopes = np.diff([bottom, *new, top]) / np.diff([0, *old, 1])
    middles = (np.arange(CURVE_SIZE - 1) + 0.5) / (CURVE_SIZE - 1)
    slopes = np.minimum(slopes, STEEPEST)[np.searchsorted(old, middles)]
    slopes = _smooth(slopes, SMOOTHING)
    curve = np.append(0, np.cumsum(slopes)) / (CURVE_SIZE - 1)
    curve -= np.interp(tone.lit[0], np.linspace(0, 1, CURVE_SIZE), curve)
    lit = min(max(lit, bottom + CLOSEST), top - CLOSEST)
    below, above = min(1, (lit - bottom) / max(-curve[0], 1e-6)), min(1, (top - lit) / max(curve[-1], 1e-6))
    return lit + np.where(curve < 0, below, above) * curve


def _apart(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rising values within low … high, moved apart where they are closer than CLOSEST, to each other or to an end."""
    steps = CLOSEST * np.arange(1, len(values) + 1)
    up = np.maximum.accumulate(np.maximum(values - steps, low)) + steps
    return np.minimum.accumulate(np.minimum(up + steps[::-1], high)[::-1])[::-1] - steps[::-1]


def _smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Averaged by a Gaussian whose standard deviation is that share of the curve."""
    row = np.ascontiguousarray(values[None])
    return cv2.GaussianBlur(row, (0, 0), deviation * CURVE_SIZE, borderType=cv2.BORDER_REPLICATE)[0]


def color_curves(lit: float, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """OKLab a and b of hair in the shade at each lightness: (CURVE_SIZE,) twice, over perceived lightness 0…1.

    lit, a, b: of the shade: its lightness is perceived. As in real hair, of which the shares come: most colorful in the
    middle of lightness, less in shadows, hardly in gleams; hues of hair are redder in shadows and yellower in lights. What
    the gamut cannot show is drawn to the gray of the same lightness.
    """
    real, grid = real_hair(), np.linspace(0, 1, CURVE_SIZE)
    parts = (np.arange(len(real.chroma)) + 0.5) / len(real.chroma)
    at, of = [0, *parts, 1], [0, *real.chroma, 0]
    share = np.interp(grid, at, of) / max(np.interp(lit, at, of), 0.1)
    away = abs(np.degrees(np.arctan2(b, a)) - NATURAL_HUE)
    turn = np.radians(real.hue_turn * np.clip(1 - (away - HUE_REACH) / HUE_FADE, 0, 1) * (grid - lit))
    new_a = share * (np.cos(turn) * a - np.sin(turn) * b)
    new_b = share * (np.sin(turn) * a + np.cos(turn) * b)
    shown = gamut_shares(np.column_stack([unperceived(grid), new_a, new_b]))
    return shown * new_a, shown * new_b
