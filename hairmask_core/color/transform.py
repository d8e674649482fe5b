"""The tone transform: colors of hair -> colors of that hair dyed, for pixels of any stored type."""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np

from ..photo.base import find_base
from ..photo.light import NEUTRAL, Illuminant
from ..photo.oklab import linear_levels, perceived, srgb_to_linear
from ..photo.scaled_map import ScaledMap
from .gamut import DARKEST, LIGHTEST, LINEAR_RANGE

STORED_TYPES = (np.uint8, np.uint16, np.float32)  # of pixels
FARTHEST = 1e6  # what float pixels hold beyond that is drawn as that, lest the formulas overflow


class ToneTransform(NamedTuple):
    """What becomes of hair of each lightness.

    curves: (4, n) float32 over perceived lightness 0…1: of the hair's base, new lightness of the base; of the new
    lightness, OKLab a and b that hair so light gets; of the hair's base, the slope of the first.
    usual: (2, 5) float32, a and b that the hair has by its own lightness, a row each of the coefficients 1, x, x², x³ of it,
    less the middle; before them, the lightness from which, and to which, that holds, and between which the middle is.
    variation: (7,) float32: how much the distribution of lightness around each pixel is made to lean towards the dark,
    -0.5…0.5; the gain of what a pixel's color differs from that of the hair around; of what that, in turn, differs from the
    usual by, how much more colorful the hair gets for its a and its b; and the matrix aa, ab, bb by which it stays.
    light: of the photo, as if it were white: the new color is seen in it as well.
    """

    curves: np.ndarray
    usual: np.ndarray
    variation: np.ndarray
    light: Illuminant = NEUTRAL


def apply_transform(
    pixels: np.ndarray, transform: ToneTransform, base: ScaledMap | None = None, strength: float = 1.0
) -> np.ndarray:
    """Colors of hair -> colors of that hair dyed.

    pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8, uint16 or float32, sRGB-encoded; alpha stays as it is.
    base: of these pixels; None: it is found in them, as if they were a whole photo.
    strength: 0…1; (1-strength)·rgb + strength·dyed on encoded values. Returns the same shape and dtype; at strength 1
    within levels 1 to 254 of 255 in every channel. NaN counts as 0.

    Method: in OKLab (Ottosson 2020), lightness as perceived. Dark hair is dark with a few bright strands, light hair light
    with a few dark gaps, so the distribution of lightness around each pixel leans over first: with d the distance from the
    mean around and v the variance there, which the base tells, d becomes d - lean · (d² - v) / √(d² + v). Then lightness is
    base + detail (see `find_base`): the base goes through the curve, the detail is multiplied by its slope, within
    DETAIL_GAIN and by no more than 1 where it is noise, and held within what room there is to black and white. a and b
    become those of hair so light, more or less colorful where the hair around is redder and yellower or less so than usual:
    the dye has taken more or less there (crushed blacks tell little of that: Wiener's share). What else the color differs
    from the usual by stays in part, large differences less. Where that leaves the gamut, the color moves towards the gray of
    the same OKLab lightness, in linear light, until it is inside again.
    """
    from . import kernels  # not above: Numba takes half a second, which `warm_up` spends while something else goes on

    if pixels.shape[2] == 3:
        return cv2.cvtColor(
            apply_transform(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), transform, base, strength), cv2.COLOR_RGBA2RGB
        )
    old = drawable(np.ascontiguousarray(pixels))
    if base is None:
        base = find_base(old, transform.light)
    out = np.empty_like(old)
    where = base.values.reshape(len(base.values), -1), base.placement
    light = np.array(transform.light, np.float32)
    how = transform.curves, transform.usual, transform.variation, light, drawn_range(transform.light)
    if old.dtype == np.float32:
        kernels.transform_floats(old, out, *where, *how)
    else:
        levels = byte_levels() if old.dtype == np.uint8 else np.empty(0, np.uint16)
        linear = linear_levels(old.dtype) / light[:, None]
        kernels.transform_levels(old, out, linear, levels, *where, *how)
    if strength < 1:
        out = cv2.addWeighted(old, 1 - strength, out, strength, 0)
    if old.dtype == np.float32:  # neither rounding nor NaN may change alpha
        out[..., 3] = pixels[..., 3]
    return out


def drawn_range(light: Illuminant) -> np.ndarray:
    """What is drawn, as if the light were white, so that in it no channel leaves LINEAR_RANGE: (4,) float32.

    The lowest and the highest linear light, and the lowest and the highest lightness, as it is perceived.
    """
    low, high = LINEAR_RANGE[0] / min(light), LINEAR_RANGE[1] / max(light)
    ends = (end * (1 / part) ** (1 / 3) for end, part in ((DARKEST, min(light)), (LIGHTEST, max(light))))
    return np.array([low, high, *(perceived(np.float64(end)) for end in ends)], np.float32)


def drawable(pixels: np.ndarray) -> np.ndarray:
    """Float pixels of any shape within FARTHEST of 0, and 0 where they are NaN; others as they are."""
    if pixels.dtype != np.float32 or (pixels.max() <= FARTHEST and pixels.min() >= -FARTHEST):  # which NaN is not
        return pixels
    return np.clip(np.nan_to_num(pixels, nan=0), -FARTHEST, FARTHEST)


@functools.cache
def byte_levels() -> np.ndarray:
    """The level of uint8 that is nearest to linear light: of 65536 evenly spaced values of it, 0…1."""
    between = ((np.arange(255) + 0.5) / 255).astype(np.float32)  # two levels
    return np.searchsorted(srgb_to_linear(between), np.linspace(0, 1, 65536)).astype(np.uint8)


def gamut_shares(lab: np.ndarray) -> np.ndarray:
    """The largest share, 0…1, of each color's a and b that sRGB can show at its lightness, within LINEAR_RANGE.

    lab: (n, 3) float64 OKLab. Returns (n,) float64. By bisection.
    """
    from . import kernels  # not above, as in `apply_transform`

    return kernels.search_gamut_shares(lab)


def warm_up(types: tuple[type, ...] = STORED_TYPES[:1]) -> None:
    """Load what `apply_transform` needs for pixels of those types: half a second; if it was never compiled, seconds each."""
    transform = ToneTransform(np.zeros((4, 2), np.float32), np.zeros((2, 5), np.float32), np.zeros(7, np.float32))
    for one in types:
        apply_transform(np.zeros((1, 1, 4), one), transform)
    gamut_shares(np.zeros((1, 3)))
