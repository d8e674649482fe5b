"""Photo + shade -> recolored photo, defined on every pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..photo.base import find_base
from ..photo.pixels import bounded, check_map, check_rgb, from_float, to_float
from ..photo.scaled_map import ScaledMap
from ..photo.strips import row_strips, work_in_strips
from .edges import Outline, dye_hair
from .tone_curve import Tone, make_transform
from .transform import ToneTransform, apply_transform


def recolor(
    pixels: np.ndarray,
    tone: Tone,
    shade: tuple[float, float, float],
    strength: float = 1.0,
    report: Callable[[float], None] = lambda fraction: None,
    base: ScaledMap | None = None,
) -> np.ndarray:
    """Every pixel recolored as if it were hair of the measured tone dyed in the shade.

    pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8, uint16 or float32, sRGB-encoded; alpha stays as it is.
    tone: of the photo's hair. shade: sRGB-encoded, each 0…1. strength: 0 gives the input to the bit, 1 the full shade;
    between them (1-strength)·rgb + strength·dyed on encoded values, like a layer's opacity: monotone and never out of
    range. report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    base: of the photo, where it is known already.
    Returns the same shape and dtype; unless strength is 0, NaN counts as 0.
    Raises ValueError for a strength or a shade outside 0…1, and for arrays that are none of that, or empty.

    Method: in OKLab (Ottosson 2020), see `make_transform` and `apply_transform`.
    """
    return recolor_along(pixels, tone, [shade], None, strength, report, base)


def recolor_along(
    pixels: np.ndarray,
    tone: Tone,
    shades: list[tuple[float, float, float]],
    position: np.ndarray | None,
    strength: float = 1.0,
    report: Callable[[float], None] = lambda fraction: None,
    base: ScaledMap | None = None,
) -> np.ndarray:
    """As `recolor`, with a shade that changes over the photo; see `recolor_strips`."""
    out = np.empty_like(pixels)
    for rows, strip in recolor_strips(pixels, tone, shades, position, strength, base):
        out[rows] = strip
        report(rows.stop / len(pixels))
    return out


def recolor_strips(
    pixels: np.ndarray,
    tone: Tone,
    shades: list[tuple[float, float, float]],
    position: np.ndarray | None = None,
    strength: float = 1.0,
    base: ScaledMap | None = None,
    outline: Outline | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """As `recolor`, with a shade that changes over the photo, strip by strip from top to bottom: (rows, their pixels).

    shades: at positions evenly spaced from 0 to 1. position: (H, W) float32, 0…1; each pixel is the linear mixture of
    its recolorings in the two nearest shades. None stands for 0 everywhere.
    outline: where the hair ends, and what is behind it: there, hair alone is recolored; see `edges`.
    """
    check_rgb(pixels, (3, 4))
    if outline is not None:
        check_map(outline.matte, pixels.shape[:2], np.float32)
    if position is not None:
        check_map(position, pixels.shape[:2], np.float32)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: it must be between 0 and 1.")
    if not shades or not all(len(shade) == 3 and all(0 <= part <= 1 for part in shade) for shade in shades):
        raise ValueError(f"the shades are {shades}: each must be red, green and blue between 0 and 1.")
    height, width = pixels.shape[:2]
    if strength == 0:
        yield from ((rows, pixels[rows]) for rows in row_strips(height, width))
        return
    transforms = [make_transform(tone, shade) for shade in shades]
    whole = base or find_base(pixels)

    def dye(colors: np.ndarray, rows: slice) -> np.ndarray:
        here = whole.cut(rows.start, 0)
        if position is None:
            return apply_transform(colors, transforms[0], here, strength)
        return _mix(colors, position[rows], transforms, here, strength)

    def paint(rows: slice) -> np.ndarray:
        return dye(pixels[rows], rows) if outline is None else dye_hair(dye, pixels, outline, rows, strength)

    yield from work_in_strips(paint, height, width)


def _mix(
    pixels: np.ndarray, position: np.ndarray, transforms: list[ToneTransform], base: ScaledMap, strength: float
) -> np.ndarray:
    """Transform each pixel by the two transforms nearest to its position, and mix the results."""
    place = bounded(position) * np.float32(len(transforms) - 1)
    result = np.zeros(pixels.shape, np.float32)
    for i, transform in enumerate(transforms):
        weight = 1 - np.abs(place - np.float32(i))
        if weight.max() > 0:
            result += np.maximum(weight, 0)[..., None] * to_float(apply_transform(pixels, transform, base, strength))
    mixed = from_float(result, pixels.dtype)
    mixed[..., 3:] = pixels[..., 3:]
    return mixed
