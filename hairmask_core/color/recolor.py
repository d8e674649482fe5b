"""Photo + coloring -> recolored photo, defined on every pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..options import Coloring
from ..photo.base import find_base
from ..photo.pixels import check_map, check_rgb, from_float, to_float
from ..photo.scaled_map import ScaledMap
from ..photo.strips import row_strips, work_in_strips
from .coloring import NOT_FOLLOWED, Mixture, Strands, make_mixture, shares
from .edges import Outline, dye_hair
from .tone_curve import Color, Tone
from .transform import apply_transform, drawable


def recolor(
    pixels: np.ndarray,
    tone: Tone,
    shade: Color,
    strength: float = 1.0,
    report: Callable[[float], None] = lambda fraction: None,
    base: ScaledMap | None = None,
) -> np.ndarray:
    """Every pixel recolored as if it were hair of the measured tone dyed in the shade; see `recolor_strips`.

    report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    """
    out = np.empty_like(pixels)
    for rows, strip in recolor_strips(pixels, tone, Coloring(shade, strength=strength), base=base):
        out[rows] = strip
        report(rows.stop / len(pixels))
    return out


def recolor_strips(
    pixels: np.ndarray,
    tone: Tone,
    coloring: Coloring,
    strands: Strands = NOT_FOLLOWED,
    base: ScaledMap | None = None,
    outline: Outline | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Every pixel recolored as if it were hair of the measured tone, strip by strip from top to bottom: (rows, pixels).

    pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8, uint16 or float32, sRGB-encoded; alpha stays as it is. tone: of the
    photo's hair. coloring: its strength 0 gives the input to the bit, 1 the full shade; between them
    (1-strength)·rgb + strength·dyed on encoded values, like a layer's opacity: monotone and never out of range.
    strands: which hair is root, tip and highlight, where that matters. base: of the photo, where it is known already.
    outline: where the hair ends, and what is behind it: there, hair alone is recolored; see `edges`.
    Yields the same dtype; unless strength is 0, NaN counts as 0.
    Raises ShadeError for a name that no shade has, and ValueError for arrays that are none of that, or empty.

    Method: in OKLab (Ottosson 2020), see `make_transform` and `apply_transform`; several shades, see `coloring`.
    """
    check_rgb(pixels, (3, 4))
    if outline is not None:
        check_map(outline.matte, pixels.shape[:2], np.float32)
    height, width = pixels.shape[:2]
    mixture, strength = make_mixture(tone, coloring, strands), coloring.strength
    if strength == 0:
        yield from ((rows, pixels[rows]) for rows in row_strips(height, width))
        return
    whole = base or find_base(pixels, tone.light, outline and outline.matte)

    def dye(colors: np.ndarray, rows: slice) -> np.ndarray:
        return mix(colors, mixture, rows, whole.cut(rows.start, 0))

    def paint(rows: slice) -> np.ndarray:
        return dye(pixels[rows], rows) if outline is None else dye_hair(dye, pixels, outline, rows, strength)

    yield from work_in_strips(paint, height, width)


def mix(pixels: np.ndarray, mixture: Mixture, rows: slice, base: ScaledMap) -> np.ndarray:
    """Some rows of a photo, recolored. pixels, base: of these rows."""
    strength, parts = mixture.coloring.strength, shares(mixture, rows, pixels.shape[1])
    if parts is None:
        return apply_transform(pixels, mixture.transforms[0], base, strength)
    result = np.zeros(pixels.shape, np.float32)
    for transform, share in zip(mixture.transforms, parts):
        if share.any():
            result += share[..., None] * to_float(apply_transform(pixels, transform, base, strength))
    if mixture.coloring.roots > 0:
        result += np.maximum(1 - sum(parts), 0)[..., None] * to_float(drawable(pixels))
    mixed = from_float(result, pixels.dtype)
    mixed[..., 3:] = pixels[..., 3:]
    return mixed
