"""The outline of the hair, where a pixel is hair in part: its hair alone is dyed.

A pixel of the outline is I = a F + (1-a) B: F the hair's color, B that of what is behind it, a the hair's share. What
should be seen of it is a F' + (1-a) B, F' = T(F) the dyed hair; that is I + a (F' - F). It is seen through the matte p, as
(1-p) I + p·layer, so the layer must hold I + (a / p) (F' - F): for a matte that is right, a = p, that is F' + (1-p) (B - F).

A small map (`Outline`) tells a, and the colors F̄ and B̄ that hair and background have around. What a pixel has besides,
r = I - a F̄ - (1-a) B̄, its texture, is that of both. If the hair's has the standard deviation 1 and the background's q, what
is expected of the hair's is (Wiener)

    F = F̄ + k r,  k = a / (a² + q² (1-a)²).

Where p is 0, and well inside the hair, the layer is T(I): whoever paints on the mask there gets dyed pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..photo.pixels import FULL_SCALE
from ..photo.scaled_map import ScaledMap

SMOOTHER = 0.5  # q: skin, walls and what is out of focus have less texture than strands
EXCESS = 0.5  # how far a / p may be above 1, where color alone decides: more would show when the mask is painted on


class Outline(NamedTuple):
    """What has to be known of the hair's outline, see `matting.foreground`.

    matte: (H, W) float32, 0…1, p. colors: a map (…, 12) of F̄ and B̄, three channels each; w, three; o; u; and v, above 0. A pixel's
    color says that s = wᵀ I - o of it is hair, within 0…1. With d = s - p, e = u (1 + d² / (u + v)) and k = e / (e + v), its
    share of hair is a = p + k d.
    """

    matte: np.ndarray
    colors: ScaledMap


def warm_up(types: tuple[type, ...]) -> None:
    """Load, and if need be compile, what `dye_hair` needs for pixels of those types."""
    colors = ScaledMap(np.ones((1, 1, 12), np.float32), 1, 1)
    for one in types:
        dye_hair(
            lambda pixels, rows: pixels,
            np.zeros((1, 1, 4), one),
            Outline(np.full((1, 1), np.float32(0.5)), colors),
            slice(0, 1),
            1.0,
        )


def dye_hair(
    dye: Callable[[np.ndarray, slice], np.ndarray], pixels: np.ndarray, outline: Outline, rows: slice, strength: float
) -> np.ndarray:
    """Some rows of the layer.

    dye: colors of those rows of a picture and which they are -> them dyed with that strength, above 0, up to 1.
    pixels: (H, W, C), the whole photo. Returns (rows, W, C), of its dtype.
    """
    photo = pixels[rows]
    unmixed = unmix(photo, outline.matte[rows], outline.colors.cut(rows.start, 0))
    if unmixed is None:
        return dye(photo, rows)
    hair, gains = unmixed
    return mix(photo, hair, dye(hair, rows), gains, strength)


def unmix(pixels: np.ndarray, matte: np.ndarray, colors: ScaledMap) -> tuple[np.ndarray, np.ndarray] | None:
    """The hair's own color where pixels are hair in part, to be dyed.

    pixels: (h, W, C), RGB or RGBA, uint8, uint16 or float32. matte: (h, W) float32, 0…1. colors: as in
    `Outline`, of these pixels.
    Returns None where there is nothing of the outline; else F, of the pixels' shape and dtype, the pixels themselves off
    the outline; and gains (h, W) float32: a / p, 0 to 1 + EXCESS k, or -1 off the outline. For `mix`.
    """
    from . import edge_kernels  # not above, as in `transform.apply_transform`

    if not matte.any():
        return None
    full = FULL_SCALE[pixels.dtype]
    hair, gains = pixels.copy(), np.empty(matte.shape, np.float32)
    values = colors.values.reshape(len(colors.values), -1)
    how = colors.placement, np.float32(full), np.float32(EXCESS), np.float32(SMOOTHER**2)
    found = edge_kernels.unmix_rows(pixels, hair, matte, gains, values, *how)
    return (hair, gains) if found else None


def mix(pixels: np.ndarray, hair: np.ndarray, dyed: np.ndarray, gains: np.ndarray, strength: float) -> np.ndarray:
    """The layer, from the hair's dyed color: on the outline I + gain (F' - F), off it `dyed` as it is.

    pixels, and hair and gains from `unmix`. dyed: F + strength (T(F) - F), of the same shape and dtype, changed in
    place. strength: above 0, up to 1; the layer is linear in it. Returns `dyed`, within levels 1 to 254 of 255 at strength
    1, where the photo is.
    """
    from . import edge_kernels

    full = FULL_SCALE[pixels.dtype]
    rounding = 0.5 if full > 1 else 0.0
    numbers = (np.float32(value) for value in (strength, full / 255, full * 254 / 255, full, rounding))
    edge_kernels.mix_rows(pixels, hair, dyed, gains, *numbers)
    return dyed
