"""Photo + shade -> recolored photo, defined on every pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .dye import DARKEST, LIGHTEST, Dye, apply_dye, fitting_shares
from .image import bounded, check_map, check_rgb, from_float, strips, to_float, work_in_strips
from .oklab import oklab_to_rgb, rgb_to_oklab

CURVE_SIZE = 1024  # entries of every curve, over OKLab lightness 0…1

# Lightness, see `lightness_curve`. Slopes are those of perceived lightness (`perceived`).
EXTREMES = (0.01, 0.995)  # quantiles of the hair's lightness between which the curve is straight
SLOPES = (0.4, 1.4)  # less flattens hair that is darkened, more blows up the noise of hair that is lifted
BEND = 1.25  # ratio of the slopes below and above the median, at most
REACH = 0.9  # share of the room towards black and white that the straight pieces may fill


@dataclass(frozen=True)
class HairTone:
    """The hair's color in OKLab: median lightness 0…1, a and b about -0.4…0.4; low and high are its dark and its
    bright end, the EXTREMES of its lightness."""

    lightness: float
    a: float
    b: float
    low: float
    high: float


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
    return tuple(map(float, oklab_to_rgb(np.array([[[tone.lightness, tone.a, tone.b]]], np.float32))[0, 0]))


def recolor(
    pixels: np.ndarray,
    tone: HairTone,
    shade: tuple[float, float, float],
    strength: float = 1.0,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Every pixel recolored as if it were hair of the measured tone dyed in the shade.

    pixels: (H, W, 3) RGB or (H, W, 4) RGBA, uint8, uint16 or float32, sRGB-encoded; alpha stays as it is.
    tone: of the photo's hair. shade: sRGB-encoded, each 0…1. strength: 0 gives the input to the bit, 1 the full shade;
    between them (1-strength)·rgb + strength·dyed on encoded values, like a layer's opacity: monotone and never out of
    range. report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    Returns the same shape and dtype; unless strength is 0, what is no number counts as 0.
    Raises ValueError for a strength or a shade outside 0…1, and for arrays that are none of that, or empty.

    Method: in OKLab (Ottosson 2020), see `make_dye` and `dye.apply_dye`.
    """
    return recolor_along(pixels, tone, [shade], None, strength, report)


def recolor_along(
    pixels: np.ndarray,
    tone: HairTone,
    shades: list[tuple[float, float, float]],
    position: np.ndarray | None,
    strength: float = 1.0,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """As `recolor`, with a shade that changes over the photo; see `recolor_strips`."""
    out = np.empty_like(pixels)
    for rows, strip in recolor_strips(pixels, tone, shades, position, strength):
        out[rows] = strip
        report(rows.stop / len(pixels))
    return out


def recolor_strips(
    pixels: np.ndarray,
    tone: HairTone,
    shades: list[tuple[float, float, float]],
    position: np.ndarray | None = None,
    strength: float = 1.0,
) -> Iterator[tuple[slice, np.ndarray]]:
    """As `recolor`, with a shade that changes over the photo, strip by strip from top to bottom: (rows, their pixels).

    shades: at positions evenly spaced from 0 to 1. position: (H, W) float32, 0…1; each pixel is the linear mixture of
    its recolorings in the two nearest shades. None stands for 0 everywhere.
    """
    check_rgb(pixels, (3, 4))
    if position is not None:
        check_map(position, pixels.shape[:2], np.float32)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: it must be between 0 and 1.")
    if not shades or not all(len(shade) == 3 and all(0 <= part <= 1 for part in shade) for shade in shades):
        raise ValueError(f"the shades are {shades}: each must be red, green and blue between 0 and 1.")
    height, width = pixels.shape[:2]
    if strength == 0:
        yield from ((rows, pixels[rows]) for rows in strips(height, width))
        return
    dyes = [make_dye(tone, shade) for shade in shades]

    def paint(rows: slice) -> np.ndarray:
        if position is None:
            return apply_dye(pixels[rows], dyes[0], strength)
        return _mix(pixels[rows], position[rows], dyes, strength)

    yield from work_in_strips(paint, height, width)


def _mix(pixels: np.ndarray, position: np.ndarray, dyes: list[Dye], strength: float) -> np.ndarray:
    """Dye each pixel by the two dyes nearest to its position, and mix the results."""
    place = bounded(position) * np.float32(len(dyes) - 1)
    result = np.zeros(pixels.shape, np.float32)
    for i, dye in enumerate(dyes):
        weight = 1 - np.abs(place - np.float32(i))
        if weight.max() > 0:
            result += np.maximum(weight, 0)[..., None] * to_float(apply_dye(pixels, dye, strength))
    mixed = from_float(result, pixels.dtype)
    mixed[..., 3:] = pixels[..., 3:]
    return mixed


def make_dye(tone: HairTone, shade: tuple[float, float, float]) -> Dye:
    """What becomes of hair of that tone in that shade.

    shade: sRGB-encoded, each 0…1. The dye's curves have CURVE_SIZE entries.
    """
    target = rgb_to_oklab(np.array(shade, np.float32).reshape(1, 1, 3))[0, 0].astype(float)
    new = lightness_curve(tone, float(target[0]))
    usual = color_curve(tone.lightness, np.linspace(0, 1, CURVE_SIZE))
    given = color_curve(target[0], new)
    given *= fitting_shares(np.column_stack([new, given[:, None] * target[1:]]))
    return Dye(np.vstack([new, usual, given]).astype(np.float32), (tone.a, tone.b), tuple(target[1:]))


def lightness_curve(tone: HairTone, shade: float) -> np.ndarray:
    """Monotone curve over OKLab lightness that takes the hair's median to the shade's lightness.

    shade: OKLab lightness, 0…1. Returns (CURVE_SIZE,): new lightness at inputs 0…1, within DARKEST…LIGHTEST.

    Texture is kept where the curve is straight: so it has two straight pieces, from the hair's dark end over its median
    to its bright end, and bends only beyond, exponentially towards black and white. Their slope lies between an even
    shift (1) and the multiplication of reflectance (shade / hair), at their geometric mean, as far as there is room:
    highlights get no nearer to white, shadows no nearer to black, than REACH allows, and stay apart from the middle.
    Both slopes may differ by BEND only. All that in perceived lightness, in which dark noise does not count for much.
    """
    low, hair, high, bottom, middle, top = perceived(
        np.array([tone.low, tone.lightness, tone.high, DARKEST, shade, LIGHTEST])
    )
    middle = min(max(middle, bottom + 0.01), top - 0.01)
    low, high = min(low, hair - 0.01), max(high, hair + 0.01)
    slope = np.clip((middle / max(hair, 0.01)) ** 0.5, *SLOPES)
    up = min(slope, REACH * (top - middle) / (high - hair))
    down = min(slope, REACH * (middle - bottom) / (hair - low))
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


def color_curve(own: float, lightness: np.ndarray) -> np.ndarray:
    """How colorful hair of one color is at other lightnesses than its own.

    own, lightness (n,): OKLab lightness, 0…1. Returns (n,), the share, 0…1, of the color's a and b: 1 at its own
    lightness, fading to 0 at black and at white, slowly at first, so that most of the hair is as colorful as its middle,
    and specular highlights are white.
    """
    own = min(max(float(own), 1e-3), 1 - 1e-3)
    darker = np.sqrt(np.clip(lightness / own, 0, 1))
    lighter = 1 - np.clip((lightness - own) / (1 - own), 0, 1) ** 2
    return darker * lighter
