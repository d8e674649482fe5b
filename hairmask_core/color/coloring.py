"""Coloring + tone of the hair -> tone transforms, and the share that each has in each pixel.

Roots keep their own color, tips get another, and some strands have highlights: whatever is asked for, a pixel is the
mixture of its recolorings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..options import Coloring
from ..photo.oklab import oklab_to_rgb, rgb_to_oklab
from ..photo.scaled_map import ScaledMap
from .shades import shade_color
from .tone_curve import Color, Tone, change_depth, make_transform
from .transform import ToneTransform

GRADIENT_SHADES = 5  # from the roots' to the tips', both included
ROOTS_FADE = 0.25  # of the strands' length, over which roots go over into what follows
HIGHLIGHTS_FADE = 0.4  # of all strands, over which those without highlights go over into those with them


class Strands(NamedTuple):
    """What a coloring may have to know of the strands; None: it need not, and all of the hair is at 0.

    position: a map (…, 1) from 0 at the roots to 1 at the tips (`hair.strands.root_to_tip`). order: a map (…, 1) of the
    order in which strands get highlights, the first at 0, the last at 1, evenly spread (`hair.highlights`).
    """

    position: ScaledMap | None = None
    order: ScaledMap | None = None

    def cut(self, top: int, left: int) -> Strands:
        """Those of what is cut out of the photo and begins there."""
        return Strands(*(part and part.cut(top, left) for part in self))


NOT_FOLLOWED = Strands()


class Mixture(NamedTuple):
    """Recolorings and what decides their shares; see `make_mixture` and `shares`.

    transforms: of the gradient, from the roots' to the tips', and of the highlights, where there are any.
    """

    transforms: list[ToneTransform]
    coloring: Coloring
    strands: Strands

    @property
    def gradient(self) -> int:
        """How many of the transforms are the gradient's."""
        return len(self.transforms) - (self.coloring.highlights is not None)


def make_mixture(tone: Tone, coloring: Coloring, strands: Strands = NOT_FOLLOWED) -> Mixture:
    """The recolorings that a coloring of hair of that tone is made of.

    Raises ShadeError for a name that no shade has, and where there is no shade.
    """
    colors = [shade_color(coloring.shade)]
    if coloring.tips is not None:
        colors = shades_between(colors[0], shade_color(coloring.tips))
    if coloring.highlights is not None:
        colors.append(shade_color(coloring.highlights))
    colors = [change_depth(color, coloring.depth) for color in colors]
    return Mixture([make_transform(tone, color, coloring.shine) for color in colors], coloring, strands)


def shares(mixture: Mixture, rows: slice, width: int) -> list[np.ndarray] | None:
    """The share, 0…1, of each transform in each pixel of those rows; what lacks to 1 is the pixel itself.

    Returns (rows, width) float32 for each; None where there is one transform, for all pixels alike.
    """
    coloring, height = mixture.coloring, rows.stop - rows.start
    if len(mixture.transforms) == 1 and coloring.roots == 0:
        return None
    position, order = (
        np.zeros((height, width), np.float32)
        if part is None
        else np.clip(np.nan_to_num(part.cut(rows.start, 0).enlarge(height, width)[..., 0]), 0, 1)
        for part in mixture.strands
    )
    place = position * np.float32(mixture.gradient - 1)
    found = [np.maximum(1 - np.abs(place - np.float32(i)), 0) for i in range(mixture.gradient)]
    if coloring.highlights is not None:
        lit = highlight_share(order, coloring.highlights_share)
        found = [share * (1 - lit) for share in found] + [lit]
    if coloring.roots > 0:
        dyed = smooth_step((position - np.float32(coloring.roots)) / np.float32(ROOTS_FADE) + np.float32(0.5))
        found = [share * dyed for share in found]
    return found


def highlight_share(order: np.ndarray, share: float) -> np.ndarray:
    """How much of each pixel is highlights, 0…1, if `share` of all strands are: their mean is `share`, about.

    order: float32, 0…1, of `Strands`. Strands fade into each other over HIGHLIGHTS_FADE; less where nearly none or
    nearly all are wanted.
    """
    fade = max(min(HIGHLIGHTS_FADE, 2 * share, 2 * (1 - share)), 1e-3)
    return smooth_step((np.float32(share) - order) / np.float32(fade) + np.float32(0.5))


def smooth_step(x: np.ndarray) -> np.ndarray:
    """From 0 at 0 to 1 at 1 without a corner; 0 before, 1 beyond."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def shades_between(roots: Color, tips: Color) -> list[Color]:
    """GRADIENT_SHADES shades evenly spaced in OKLab from the roots' to the tips'; all sRGB-encoded, each 0…1."""
    ends = rgb_to_oklab(np.array([[roots, tips]], np.float32))[0]
    share = np.linspace(0, 1, GRADIENT_SHADES, dtype=np.float32)[:, None]
    red, green, blue = np.moveaxis(oklab_to_rgb((ends[0] + share * (ends[1] - ends[0]))[None])[0], 1, 0)
    between = [(float(r), float(g), float(b)) for r, g, b in zip(red, green, blue)]
    return [roots, *between[1:-1], tips]
