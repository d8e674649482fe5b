"""Tone of hair + shade -> the curves of the tone transform."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..photo.oklab import rgb_to_oklab
from .gamut import DARKEST, LIGHTEST
from .transform import ToneTransform, gamut_shares

CURVE_SIZE = 1024  # entries of every curve, over OKLab lightness 0…1

# Lightness, see `lightness_curve`. Slopes are those of perceived lightness (`perceived`).
SLOPES = (0.4, 1.4)  # less flattens hair that is darkened, more blows up the noise of hair that is lifted
BEND = 1.25  # ratio of the slopes below and above the median, at most
ROOM_SHARE = 0.9  # share of the room towards black and white that the straight pieces may fill


class Tone(Protocol):
    """What has to be known of the hair, in OKLab: its median lightness 0…1, a and b, and its dark and bright end."""

    @property
    def lightness(self) -> float: ...
    @property
    def a(self) -> float: ...
    @property
    def b(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def make_transform(tone: Tone, shade: tuple[float, float, float]) -> ToneTransform:
    """What becomes of hair of that tone in that shade.

    shade: sRGB-encoded, each 0…1. The transform's curves have CURVE_SIZE entries.
    """
    target = rgb_to_oklab(np.array(shade, np.float32).reshape(1, 1, 3))[0, 0].astype(float)
    new = lightness_curve(tone, float(target[0]))
    usual = chroma_curve(tone.lightness, np.linspace(0, 1, CURVE_SIZE))
    given = chroma_curve(target[0], new)
    given *= gamut_shares(np.column_stack([new, given[:, None] * target[1:]]))
    return ToneTransform(np.vstack([new, usual, given]).astype(np.float32), (tone.a, tone.b), tuple(target[1:]))


def lightness_curve(tone: Tone, shade: float) -> np.ndarray:
    """Monotone curve over OKLab lightness that takes the hair's median to the shade's lightness.

    shade: OKLab lightness, 0…1. Returns (CURVE_SIZE,): new lightness at inputs 0…1, within DARKEST…LIGHTEST.

    Texture is kept where the curve is straight: so it has two straight pieces, from the hair's dark end over its median
    to its bright end, and bends only beyond, exponentially towards black and white. Their slope lies between an even
    shift (1) and the multiplication of reflectance (shade / hair), at their geometric mean, as far as there is room:
    highlights get no nearer to white, shadows no nearer to black, than ROOM_SHARE allows, and stay apart from the middle.
    Both slopes may differ by BEND only. All that in perceived lightness, in which dark noise does not count for much.
    """
    low, hair, high, bottom, middle, top = perceived(
        np.array([tone.low, tone.lightness, tone.high, DARKEST, shade, LIGHTEST])
    )
    middle = min(max(middle, bottom + 0.01), top - 0.01)
    low, high = min(low, hair - 0.01), max(high, hair + 0.01)
    slope = np.clip((middle / max(hair, 0.01)) ** 0.5, *SLOPES)
    up = min(slope, ROOM_SHARE * (top - middle) / (high - hair))
    down = min(slope, ROOM_SHARE * (middle - bottom) / (hair - low))
    up, down = min(up, BEND * down), min(down, BEND * up)
    x = perceived(np.linspace(0, 1, CURVE_SIZE))
    y = middle + np.where(x < hair, down, up) * (x - hair)
    dark, bright = middle - down * (hair - low) - bottom, top - middle - up * (high - hair)  # room beyond the ends
    y = np.where(x < low, bottom + dark * np.exp(np.minimum(down * (x - low) / dark, 0)), y)
    y = np.where(x > high, top - bright * np.exp(np.minimum(up * (high - x) / bright, 0)), y)
    return unperceived(y)


# Perceived lightness: Ottosson 2021, "Okhsv and Okhsl: two new color spaces for color picking", its "toe".
TOE = (0.206, 0.03, 1.206 / 1.03)


def perceived(lightness: np.ndarray) -> np.ndarray:
    """OKLab lightness 0…1 -> one that runs like CIE L* / 100, which is darker near black."""
    k1, k2, k3 = TOE
    shifted = k3 * lightness - k1
    return 0.5 * (shifted + np.sqrt(shifted**2 + 4 * k2 * k3 * lightness))


def unperceived(lightness: np.ndarray) -> np.ndarray:
    """The inverse of `perceived`."""
    k1, k2, k3 = TOE
    return lightness * (lightness + k1) / (k3 * (lightness + k2))


def chroma_curve(own: float, lightness: np.ndarray) -> np.ndarray:
    """How colorful hair of one color is at other lightnesses than its own.

    own, lightness (n,): OKLab lightness, 0…1. Returns (n,), the share, 0…1, of the color's a and b: 1 at its own
    lightness, fading to 0 at black and at white, slowly at first, so that most of the hair is as colorful as its middle,
    and specular highlights are white.
    """
    own = min(max(float(own), 1e-3), 1 - 1e-3)
    darker = np.sqrt(np.clip(lightness / own, 0, 1))
    lighter = 1 - np.clip((lightness - own) / (1 - own), 0, 1) ** 2
    return darker * lighter
