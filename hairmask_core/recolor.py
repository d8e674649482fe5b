"""Photo + shade -> recolored photo, defined on every pixel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageFilter

from .image import from_float, strips, to_float, work_in_strips
from .oklab import LAB_TO_LMS, LMS_TO_RGB, encode, oklab_to_linear, oklab_to_rgb, rgb_to_oklab

CURVE_SIZE = 1024  # entries of every curve, over OKLab lightness 0…1
TABLE_SIZE = 65  # grid points along each axis of the color table that 8-bit photos go through

# Lightness, see `lightness_curve`. Slopes are those of perceived lightness (`perceived`).
EXTREMES = (0.01, 0.995)  # quantiles of the hair's lightness between which the curve is straight
SLOPES = (0.4, 1.4)  # less flattens hair that is darkened, more blows up the noise of hair that is lifted
BEND = 1.25  # ratio of the slopes below and above the median, at most
REACH = 0.9  # share of the room towards black and white that the straight pieces may fill
DARKEST, LIGHTEST = 0.07, 0.996  # OKLab lightness of what is drawn: grays 1 and 254 of 255, so that nothing clips
LINEAR_RANGE = (1 / 255 / 12.92, 0.991)  # the same levels in linear light

# Color, see `color_curve` and `dye_curves`.
KEPT_VARIATION = 0.3  # share of the hair's own color variation that stays
VARIATION_LIMIT = 0.04  # OKLab chroma at which that variation is compressed to half


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
    Returns the same shape and dtype. Raises ValueError for a strength outside 0…1.

    Method: in OKLab (Ottosson 2020), see `dye`. It maps each color by itself, so for 8 bits it is computed on a grid of
    TABLE_SIZE³ colors, between which is interpolated; uint16 and float32 get the formulas themselves.
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
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}: it must be between 0 and 1.")
    height, width = pixels.shape[:2]
    if strength == 0:
        yield from ((rows, pixels[rows]) for rows in strips(height, width))
        return
    curves = [dye_curves(tone, shade) for shade in shades]
    if pixels.dtype == np.uint8:
        paints = [_table_paint(color_table(one, strength)) for one in curves]
    else:
        paints = [functools.partial(_exact_paint, curves=one, strength=strength) for one in curves]

    def paint(rows: slice) -> np.ndarray:
        if position is None:
            return paints[0](pixels[rows])
        return _mix(pixels[rows], position[rows], paints)

    yield from work_in_strips(paint, height, width)


def _table_paint(table: ImageFilter.Color3DLUT) -> Callable[[np.ndarray], np.ndarray]:
    """Paints (h, w, 3) or (h, w, 4) uint8."""

    def paint(pixels: np.ndarray) -> np.ndarray:
        # Pillow keeps RGB in four bytes a pixel: given that way, nothing is copied, and OpenCV converts it fastest.
        # The fourth byte goes through as it is.
        height, width, channels = pixels.shape
        padded = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA) if channels == 3 else np.ascontiguousarray(pixels)
        painted = Image.frombuffer("RGBX", (width, height), padded, "raw", "RGBX", 0, 1).filter(table)
        painted = np.asarray(painted)
        return cv2.cvtColor(painted, cv2.COLOR_RGBA2RGB) if channels == 3 else painted

    return paint


def _exact_paint(pixels: np.ndarray, curves: np.ndarray, strength: float) -> np.ndarray:
    """Paints (h, w, 3) or (h, w, 4) of any dtype."""
    rgb = np.ascontiguousarray(pixels[..., :3])
    painted = from_float(dye(to_float(rgb), rgb_to_oklab(rgb), curves, strength), rgb.dtype)
    return painted if pixels.shape[2] == 3 else np.dstack([painted, pixels[..., 3]])


def _mix(pixels: np.ndarray, position: np.ndarray, paints: list) -> np.ndarray:
    """Paint each pixel by the two paints nearest to its position, and mix them."""
    place = np.clip(position, 0, 1) * np.float32(len(paints) - 1)
    result = np.zeros(pixels.shape, np.float32)
    for i, paint in enumerate(paints):
        weight = 1 - np.abs(place - np.float32(i))
        if weight.max() > 0:
            result += np.maximum(weight, 0)[..., None] * to_float(paint(pixels))
    mixed = from_float(result, pixels.dtype)
    mixed[..., 3:] = pixels[..., 3:]
    return mixed


def color_table(curves: np.ndarray, strength: float) -> ImageFilter.Color3DLUT:
    """`dye` on a grid of TABLE_SIZE³ colors, as Pillow's filter that interpolates between them linearly."""
    rgb, lab = _grid()
    table = np.empty_like(rgb)
    step = 8 * TABLE_SIZE  # of TABLE_SIZE² rows: small enough for a core's cache; a second core would not help
    for top in range(0, len(rgb), step):
        rows = slice(top, top + step)
        table[rows] = dye(rgb[rows], lab[rows], curves, strength)
    return ImageFilter.Color3DLUT(TABLE_SIZE, table.ravel())


@functools.cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """The grid's colors, red varying fastest: sRGB and OKLab, each (TABLE_SIZE², TABLE_SIZE, 3) float32."""
    levels = np.linspace(0, 1, TABLE_SIZE, dtype=np.float32)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")
    rgb = np.stack([red, green, blue], axis=-1).reshape(TABLE_SIZE**2, TABLE_SIZE, 3)
    return rgb, rgb_to_oklab(rgb)


def dye(rgb: np.ndarray, lab: np.ndarray, curves: np.ndarray, strength: float) -> np.ndarray:
    """The formulas: colors of hair -> colors of that hair dyed.

    rgb: (h, w, 3) float32, sRGB-encoded. lab: the same in OKLab. curves: of `dye_curves`. strength: 0…1.
    Returns (h, w, 3) float32, sRGB-encoded; at strength 1 within levels 1 to 254 of 255 in every channel.

    Lightness, a and b go through the curves. A share of what the hair's color differs from the usual at its lightness
    is kept, large differences less, so that strands stay apart. Where that leaves the gamut, the color moves towards
    the gray of the same OKLab lightness, in linear light, until it is inside again.
    """
    lightness, usual_a, usual_b, new_a, new_b = _look_up(curves, lab[..., 0])
    vary_a, vary_b = lab[..., 1] - usual_a, lab[..., 2] - usual_b
    keep = KEPT_VARIATION / (1 + cv2.magnitude(vary_a, vary_b) / VARIATION_LIMIT)
    linear = oklab_to_linear(cv2.merge([lightness, new_a + keep * vary_a, new_b + keep * vary_b]))
    gray = lightness * lightness * lightness
    red, green, blue = cv2.split(linear)
    above = (cv2.max(cv2.max(red, green), blue) - gray) / (np.float32(LINEAR_RANGE[1]) - gray)
    below = (gray - cv2.min(cv2.min(red, green), blue)) / (gray - np.float32(LINEAR_RANGE[0]))
    share = 1 / np.maximum(np.maximum(above, below), 1)
    dyed = encode(cv2.merge([gray + share * (channel - gray) for channel in (red, green, blue)]))
    return dyed if strength == 1 else rgb + np.float32(strength) * (dyed - rgb)


def dye_curves(tone: HairTone, shade: tuple[float, float, float]) -> np.ndarray:
    """What becomes of hair of each lightness.

    shade: sRGB-encoded, each 0…1. Returns (5, CURVE_SIZE) float32 over OKLab lightness 0…1 of the hair: new lightness;
    a and b that this hair usually has; a and b that it gets.
    """
    target = rgb_to_oklab(np.array(shade, np.float32).reshape(1, 1, 3))[0, 0].astype(float)
    old = np.linspace(0, 1, CURVE_SIZE)
    new = lightness_curve(tone, float(target[0]))
    usual = color_curve(np.array([tone.lightness, tone.a, tone.b]), old)
    dyed = color_curve(target, new)
    dyed *= fitting_share(np.column_stack([new, dyed]))[:, None]
    return np.vstack([new, usual.T, dyed.T]).astype(np.float32)


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


def color_curve(color: np.ndarray, lightness: np.ndarray) -> np.ndarray:
    """OKLab a and b of hair of one color, at other lightnesses than its own.

    color: OKLab (3,). lightness: (n,), 0…1. Returns (n, 2): the color's own a and b at its own lightness, fading to 0
    at black and at white, slowly at first, so that most of the hair is as colorful as its middle, and specular
    highlights are white.
    """
    own = min(max(float(color[0]), 1e-3), 1 - 1e-3)
    darker = np.sqrt(np.clip(lightness / own, 0, 1))
    lighter = 1 - np.clip((lightness - own) / (1 - own), 0, 1) ** 2
    return (darker * lighter)[:, None] * color[1:]


def fitting_share(lab: np.ndarray) -> np.ndarray:
    """The largest share, 0…1, of each color's a and b that sRGB can show at its lightness, by bisection.

    lab: (n, 3) OKLab. Returns (n,).
    """
    low, high = np.zeros(len(lab)), np.ones(len(lab))
    for step in range(16):
        middle = high if step == 0 else (low + high) / 2
        linear = ((lab * np.stack([np.ones(len(lab)), middle, middle], axis=1)) @ LAB_TO_LMS.T) ** 3 @ LMS_TO_RGB.T
        fits = ((linear >= LINEAR_RANGE[0]) & (linear <= LINEAR_RANGE[1])).all(axis=1)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


def _look_up(curves: np.ndarray, lightness: np.ndarray) -> list[np.ndarray]:
    """Linear interpolation of each curve (n, CURVE_SIZE) at every lightness (h, w) float32; below 0 as 0, NaN too."""
    place = np.fmin(np.fmax(lightness, 0), 1) * np.float32(CURVE_SIZE - 1)
    index = np.minimum(place.astype(np.int32), CURVE_SIZE - 2)
    fraction = place - index.astype(np.float32)
    return [curve.take(index) + fraction * np.diff(curve).take(index) for curve in curves]
