"""The colors of the hair and of what is behind it along the outline, and how much of a pixel is hair by its color.

A pixel of the outline is I = a F + (1-a) B: F the hair's color, B that of what is behind it, a the hair's share. The matte
p is one measurement of a; it may be pixels too wide or too narrow. The color is another, where hair and background
differ: with F̄ and B̄ the mean colors of sure hair and of sure background nearby, Σ the covariance of both around them,

    w = Σ⁻¹ (F̄ - B̄) / m,  m = (F̄ - B̄)ᵀ Σ⁻¹ (F̄ - B̄),  s = wᵀ (I - B̄), within 0…1,

which is Fisher's linear discriminant (1936), scaled so that it is 1 on the hair's mean and 0 on the background's. So gray
highlights of black hair are not taken for skin, which is orange. How far s is off, its variance v, is seen on the sure
pixels nearby. How far the matte is off, its variance u, is what the two differ by beyond that: the mean of (s - p)² - v
near the outline. Errors of mattes are few and large, so where the two differ more than u and v explain, the matte is in
more doubt: with d = s - p, e = u (1 + d² / (u + v)), and

    a = p + k d,  k = e / (e + v),

the mean of both measurements, each by the inverse of its variance. Far inside, u is 0: highlights there are hair. Where hair
is cropped and skin shows through (`visible_skin`), the matte says nothing of a: F̄, B̄ and w are then those of hair and skin.

With a known, F and B themselves are found as in Germer, Uelwer, Conrad, Harmeling 2020, "Fast Multi-Level Foreground
Estimation", as a map of slowly changing colors; `color.edges` tells each pixel's own hair by them.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..photo.pixels import bounded, check_map, check_rgb, to_float
from ..photo.proxy import resize_area
from .visible_skin import SURE, depth, find_visible_skin

SURVEY_SIDE = 256  # pixels of the map in which F̄, B̄, w, u and v are found
LONG_SIDE = 512  # pixels of the map: beside the outline's own texture, which is the photo's, colors change slowly
REACH = (
    0.025  # of the long side: so far from what is unsure a pixel is sure; twice as far inside, the matte alone counts
)
HARDLY = 1e-4  # weight of pixels that are not so sure, where there are no others
SIDES = (0.03, 0.09, 0.3, 0.6)  # of the long side: squares around a place over which colors are averaged …
NEARER = 20.0  # … each weighs so many times as much as the next larger
NOISE = 0.03  # standard deviation of each channel that is added to what was seen
WINDOW = 0.03  # of the long side: side of the squares over which the matte's error is averaged
LEAST_ERROR = 0.05  # variance of s below which all pixels count alike there
LARGEST_ERROR = 0.25  # variance of a matte that says nothing
EXPECTED = 1.15  # times v: so large may (s - p)² be before the matte is in doubt
PULL, SMOOTHNESS = 1e-3, 1e-5  # weights of F̄ and B̄, and of the neighbors' colors where the share is even
ROUNDS, COARSE_ROUNDS, COARSE = 2, 10, 256  # of relaxation at each level; at levels of so many pixels at most
SKIN_ERROR = 0.01  # variance of s where skin shows through
CHANNELS = 12  # of the map, see `edge_colors`


def edge_colors(rgb: np.ndarray, matte: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """What has to be known to dye the outline's hair alone.

    rgb: (H, W, 3) uint8, uint16 or float32 (0…1), sRGB-encoded; NaN counts as 0. matte: (H, W) float32, 0…1. alpha: (H, W) of
    the photo's type, or None; what is transparent has no color.
    Returns (h, w, CHANNELS) float32, LONG_SIDE pixels at most: F and B, three channels each, 0…1; w, three; wᵀ B̄; u,
    0…LARGEST_ERROR; and v, above 0. So the colors of the photo itself, I, tell s and a of every pixel, and the hair's color.
    Raises ValueError for arrays of another shape or type, and for empty ones.
    """
    check_rgb(rgb)
    check_map(matte, rgb.shape[:2], np.float32)
    size = map_size(matte, LONG_SIDE)
    mean, p = (bounded(to_float(resize_area(x, size))) for x in (rgb, matte))
    found = cv2.resize(survey(rgb, matte, mean, p, alpha), size, interpolation=cv2.INTER_LINEAR).reshape(*p.shape, -1)
    channels = cv2.split(found)
    hair, behind, direction = (cv2.merge(channels[i : i + 3]) for i in (0, 3, 6))
    offset, u, v = channels[9:]
    if alpha is not None:  # what is transparent gets the colors around
        hidden = 1 - bounded(to_float(resize_area(alpha, size)))[..., None]
        mean = mean + hidden * (behind + p[..., None] * (hair - behind) - mean)
    share = combine(p, color_share(mean, direction, offset), u, v)
    hair, behind = separate_colors(mean, share, hair, behind)
    return cv2.merge([hair, behind, direction, offset, u, v])


def map_size(matte: np.ndarray, long_side: int) -> tuple[int, int]:
    """Width and height of a map of the photo, `long_side` pixels at most."""
    scale = min(1.0, long_side / max(matte.shape))
    return max(1, round(matte.shape[1] * scale)), max(1, round(matte.shape[0] * scale))


def survey(
    rgb: np.ndarray, matte: np.ndarray, mean: np.ndarray, p: np.ndarray, alpha: np.ndarray | None = None
) -> np.ndarray:
    """F̄, B̄, w, three channels each, wᵀ B̄, u and v: (h, w, 12) float32, SURVEY_SIDE pixels at most.

    rgb, matte, alpha: as for `edge_colors`. mean, p: the photo and the matte at LONG_SIDE, (h, w, 3) and (h, w) float32.
    """
    size = map_size(matte, SURVEY_SIDE)

    def sample(x: np.ndarray) -> np.ndarray:  # single pixels tell how colors vary
        return bounded(to_float(cv2.resize(x, size, interpolation=cv2.INTER_NEAREST)))

    single, p_single = sample(rgb), sample(matte)
    mean, p = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (mean, p))
    visible = np.ones_like(p) if alpha is None else sample(alpha)
    reach = max(1.0, REACH * max(size))
    inside, outside = depth(p >= SURE) / reach, depth(p <= 1 - SURE) / reach
    sure_hair, sure_rest = (sureness(*of) * visible + np.float32(1e-12) for of in ((inside, p), (outside, 1 - p)))
    hair, hair_spread = colors_nearby(single, sure_hair)
    behind, rest_spread = colors_nearby(single, sure_rest)
    even = (0.5 + p[..., None]) / 2  # halfway between p and 1/2
    direction, offset = discriminant(hair, behind, even * hair_spread + (1 - even) * rest_spread)
    seen = color_share(single, direction, offset)
    difference = hair - behind
    contrast = cv2.transform(difference * difference, np.ones((1, 3), np.float32)).reshape(p.shape)
    (off_hair,), (off_rest,) = means_nearby([(seen - 1) ** 2], sure_hair), means_nearby([seen**2], sure_rest)
    v = p * p * off_hair + (1 - p) ** 2 * off_rest + np.float32(NOISE**2) / np.maximum(contrast, np.float32(1e-6))
    u = matte_errors(seen - p_single, v, (inside < 1) & (outside < 1), max(size)) * np.clip(2 - inside, 0, 1) ** 2
    found = cv2.merge([hair, behind, direction, *(x.astype(np.float32) for x in (offset, u, v))])
    skin_seen = find_visible_skin(mean, p * visible)
    if skin_seen is None:
        return found
    offset = skin_seen.direction @ skin_seen.skin
    there = [*skin_seen.hair, *skin_seen.skin, *skin_seen.direction, offset, LARGEST_ERROR, SKIN_ERROR]
    return found + skin_seen.where[..., None] * (np.array(there, np.float32) - found)


def sureness(inside: np.ndarray, p: np.ndarray) -> np.ndarray:
    """How much a pixel's color says of its kind: (h, w) float32, 0…1.

    inside: (h, w) float32, how far within what is sure it lies, 1 at REACH. p: (h, w) float32, how probable its kind is.
    """
    return np.clip(inside, 0, 1) ** 3 + np.float32(HARDLY) * p**4


def means_nearby(values: list[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """The weighted mean of each of the values around each pixel, the nearer the more; all (h, w) float32, weights above 0."""
    factors = [NEARER**-i for i in range(len(SIDES))]
    sides = [2 * round(side * max(weights.shape) / 2) + 1 for side in SIDES]

    def total(x: np.ndarray) -> np.ndarray:
        blurred = (cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT_101) for side in sides)
        return sum((np.float32(factor) * part for factor, part in zip(factors, blurred)), np.float32(1e-9) * x.mean())

    whole = np.maximum(total(weights), np.float32(1e-20))
    return [total(value * weights) / whole for value in values]


def colors_nearby(rgb: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean color around each pixel, (h, w, 3), and the covariance, (h, w, 6): rr, gg, bb, rg, rb, gb; float32.

    rgb: (h, w, 3) float32. weights: (h, w) float32, above 0.
    """
    r, g, b = cv2.split(rgb)
    r, g, b, rr, gg, bb, rg, rb, gb = means_nearby([r, g, b, r * r, g * g, b * b, r * g, r * b, g * b], weights)
    return cv2.merge([r, g, b]), cv2.merge([rr - r * r, gg - g * g, bb - b * b, rg - r * g, rb - r * b, gb - g * b])


def discriminant(hair: np.ndarray, behind: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """w, (h, w, 3) float32, and wᵀ B̄, (h, w) float32; see above.

    hair, behind: (h, w, 3) float32, F̄ and B̄. spread: (h, w, 6) float32, Σ as `colors_nearby` gives it. Where F̄ = B̄, 0.
    """
    xx, yy, zz, xy, xz, yz = (spread[..., i].astype(np.float64) for i in range(6))
    xx, yy, zz = (np.maximum(variance, 0) + NOISE**2 for variance in (xx, yy, zz))
    a, b, c = (hair[..., i].astype(np.float64) - behind[..., i] for i in range(3))
    # Cofactors of the symmetric matrix; its determinant cancels out.
    c_xx, c_xy, c_xz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    c_yy, c_yz, c_zz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    w = np.dstack([c_xx * a + c_xy * b + c_xz * c, c_xy * a + c_yy * b + c_yz * c, c_xz * a + c_yz * b + c_zz * c])
    length = w[..., 0] * a + w[..., 1] * b + w[..., 2] * c
    w = np.where(length[..., None] > 1e-14, w / np.maximum(length[..., None], 1e-14), 0).astype(np.float32)
    return w, (w * behind).sum(axis=2)


def color_share(rgb: np.ndarray, direction: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """How much of each pixel is hair by its color: (h, w) float32, 0…1. direction, offset: as `discriminant` gives them."""
    return np.clip((rgb * direction).sum(axis=2) - offset, 0, 1)


def combine(p: np.ndarray, seen: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The share of hair by matte and color, p and s, of variances u and v; see above. All (h, w) float32; 0…1."""
    off = seen - p
    doubt = u * (1 + off * off / (u + v))
    return p + doubt / (doubt + v) * off


def matte_errors(off: np.ndarray, error: np.ndarray, near: np.ndarray, long_side: int) -> np.ndarray:
    """u, the variance of what the matte is off, (h, w) float32, 0…LARGEST_ERROR; see above.

    off: (h, w) float32, s - p. error: (h, w) float32, the variance of s. near: (h, w) bool, the pixels about the outline.
    """
    weights = near / (error + np.float32(LEAST_ERROR)) ** 2
    side = 2 * round(WINDOW * long_side / 2) + 1
    beyond, total = (
        cv2.blur(x.astype(np.float32), (side, side), borderType=cv2.BORDER_REFLECT_101)
        for x in (weights * (off * off - EXPECTED * error), weights)
    )
    return np.clip(beyond / np.maximum(total, np.float32(1e-6)), 0, LARGEST_ERROR)


def separate_colors(
    rgb: np.ndarray, share: np.ndarray, near_hair: np.ndarray, near_behind: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The colors of the hair and of what is behind it in each pixel: (h, w, 3) float32 each, 0…1.

    rgb: (h, w, 3) float32, 0…1. share: (h, w) float32, 0…1, of the hair. near_hair, near_behind: (h, w, 3) float32, 0…1, F̄ and
    B̄, where nothing else is known.

    Method: Germer et al. 2020, algorithm 1: minimizes |I - a F - (1-a) B|² and, the more the shares of neighbors differ, the
    difference of their colors, from the smallest level to the largest; with a weak pull towards F̄ and B̄.
    """
    from . import foreground_kernels  # not above: Numba takes half a second

    height, width = share.shape
    levels = max(1, int(np.ceil(np.log2(max(height, width)))))
    hair, behind = near_hair, near_behind
    for level in range(levels + 1):
        size = (max(1, round(width ** (level / levels))), max(1, round(height ** (level / levels))))
        image, a, near, far, hair, behind = (
            np.ascontiguousarray(
                cv2.resize(x, size, interpolation=cv2.INTER_NEAREST).reshape(*size[::-1], *x.shape[2:])
            )
            for x in (rgb, share, near_hair, near_behind, hair, behind)
        )
        rounds = COARSE_ROUNDS if max(size) <= COARSE else ROUNDS
        weights = np.float32(SMOOTHNESS), np.float32(PULL)
        foreground_kernels.relax(image, a, hair, behind, near, far, *weights, rounds)
    return hair, behind
