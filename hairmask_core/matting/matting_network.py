"""Photo at the guide's scale + probability map -> the matte as a linear function of the photo's color, pixel by pixel.

A network says the function; it only looks at tiles where the map is uncertain. Applied to the photo at full resolution,
the function follows strands that the map is too coarse to show (`refine`).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

MATTING_TILE = 256  # pixels of a side; what the network sees at a time
OVERLAP = 32  # pixels that two tiles share, over which one fades into the other
MATTING_FEATURES = 12  # how many numbers describe a pixel of the guide
KNOWN_HAIR = 0.7  # from here on, and below 1 - KNOWN_HAIR, pixels tell what color hair and the rest have near them
REDUCED = 4  # the colors around are looked for in a copy of the guide this much smaller
NEIGHBORHOODS = ((13, 1.0), (49, 0.05), (193, 0.002))  # sides of the neighbourhoods there, pixels, and their weights
NOISE = 0.01  # squared distance of two colors below which they count as one
CERTAIN_MARGIN = 0.02  # probabilities within this of 0 or of 1 are left as they are …
NETWORK_REACH = (
    0.09  # … unless an uncertain one is within so much of the long side: as far as curls stand out from hair
)
WIDE_SIDE = 31  # pixels of the map; over squares of that side an outline is a small part …
UNDECIDED = (0.5, 0.8)  # … so where 4 p (1 - p) has such a mean there is none; at the second the map stays as it is
KEPT_SIDE = 3  # pixels of the map as the network gave it; over squares of that side the matte has as much hair or more


def matting_coefficients(
    guide: np.ndarray,
    p: np.ndarray,
    pixel: float,
    network: Callable[[np.ndarray], np.ndarray],
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Coefficients of the matte: it is `(c[..., :3] * rgb).sum(-1) + c[..., 3]`, to be clipped to 0…1.

    guide: (h, w, 3) float32 sRGB, 0…1. p: (h, w) float32 hair probability, 0…1, enlarged from a map whose pixels are
    `pixel` pixels of the guide wide, or less than one where it was reduced.
    network: (1, MATTING_FEATURES, MATTING_TILE, MATTING_TILE) float32, what `matting_features` gives -> (1, 4, MATTING_TILE, MATTING_TILE) float32.
    report: called with the fraction done, 0…1, after each tile; may raise to stop the work.
    Returns (h, w, 4) float32; where the map is certain and all around is too, or undecided, 0, 0, 0 and p.

    Method: the local linear model of Levin, Lischinski, Weiss 2008 ("A Closed-Form Solution to Natural Image
    Matting"), its coefficients learned (Wu et al. 2018, "Fast End-to-End Trainable Guided Filter").
    """
    height, width = p.shape
    rows, columns = tile_starts(height), tile_starts(width)
    below, right = rows[-1] + MATTING_TILE - height, columns[-1] + MATTING_TILE - width
    x = np.pad(matting_features(guide, p), ((0, below), (0, right), (0, 0)), "edge")
    out = np.zeros((*x.shape[:2], 4), np.float32)
    out[..., 3] = x[..., 3]
    share = np.pad(uncertain_share(p) * decided_share(p, pixel), ((0, below), (0, right)), "edge")
    for i, top in enumerate(rows):
        fade_down = tile_feather(i > 0, i < len(rows) - 1)
        for j, left in enumerate(columns):
            here = np.s_[top : top + MATTING_TILE, left : left + MATTING_TILE]
            if share[here].any():
                found = network(np.ascontiguousarray(x[here].transpose(2, 0, 1)[None]))[0].transpose(1, 2, 0)
                found[..., 3] -= x[here][..., 3]
                weights = fade_down[:, None] * tile_feather(j > 0, j < len(columns) - 1) * share[here]
                out[here] += found * weights[..., None]
            report((i * len(columns) + j + 1) / (len(rows) * len(columns)))
    found = out[:height, :width]
    found[..., 3] += missing_hair(guide, p, pixel, found)
    return found


def knows_hair(p: np.ndarray) -> bool:
    """Whether the map, float32 of any shape, 0…1, is sure of hair anywhere: else there is no color to go by."""
    return bool((p > KNOWN_HAIR).any())


def missing_hair(guide: np.ndarray, p: np.ndarray, pixel: float, coefficients: np.ndarray) -> np.ndarray:
    """How much hair the coefficients leave out that the map has: (h, w) float32, 0…1, to be added.

    guide, p, pixel, coefficients: as for `matting_coefficients`. The map knows how much hair there is about a place, the
    network where it runs: so the means of both over KEPT_SIDE of the map's pixels should agree. What is missing is added in
    proportion to p, so that nothing appears where the map has no hair.
    """
    side = max(3, 2 * round(KEPT_SIDE * pixel / 2) + 1)
    ones = np.ones((1, 3), np.float32)
    alpha = cv2.transform(coefficients[..., :3] * guide, ones).reshape(p.shape) + coefficients[..., 3]
    here, found = (cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT_101) for x in (p, np.clip(alpha, 0, 1)))
    return np.maximum(1 - found / np.maximum(here, 1e-3), 0) * p


def uncertain_share(p: np.ndarray) -> np.ndarray:
    """How much the network has to say: 1 where p is uncertain and nearby, falling to 0 at NETWORK_REACH from there.

    p: (h, w) float32, 0…1; returned alike.
    """
    uncertain = ((p > CERTAIN_MARGIN) & (p < 1 - CERTAIN_MARGIN)).astype(np.float32)
    size = (-(-p.shape[1] // REDUCED), -(-p.shape[0] // REDUCED))
    near = (cv2.resize(uncertain, size, interpolation=cv2.INTER_AREA) > 0).astype(np.float32)
    reach = round(NETWORK_REACH * max(size))
    ramp = reach // 4  # half the ramp's width
    side = 2 * (reach - ramp) + 1
    near = cv2.dilate(near, cv2.getStructuringElement(cv2.MORPH_RECT, (side, side)))
    near = cv2.blur(near, (2 * ramp + 1, 2 * ramp + 1), borderType=cv2.BORDER_REFLECT_101)
    return cv2.resize(near, p.shape[::-1], interpolation=cv2.INTER_LINEAR)


def decided_share(p: np.ndarray, pixel: float) -> np.ndarray:
    """1 where the map shows an outline, falling to 0 where it is undecided all around.

    p, pixel: as for `matting_coefficients`; returned like p. There, p says how likely hair is, not how much of each pixel
    it covers: the network would take the pattern of a fur collar for strands.
    """
    size = (-(-p.shape[1] // REDUCED), -(-p.shape[0] // REDUCED))
    side = 2 * round(WIDE_SIDE * pixel / REDUCED / 2) + 1
    small = cv2.resize(4 * p * (1 - p), size, interpolation=cv2.INTER_AREA)
    mean = cv2.blur(small, (side, side), borderType=cv2.BORDER_REFLECT_101)
    share = np.clip((UNDECIDED[1] - mean) / np.float32(UNDECIDED[1] - UNDECIDED[0]), 0, 1)
    return cv2.resize(share, p.shape[::-1], interpolation=cv2.INTER_LINEAR)


def matting_features(guide: np.ndarray, p: np.ndarray) -> np.ndarray:
    """What the network sees of each pixel: (h, w, MATTING_FEATURES) float32.

    guide, p: as for `matting_coefficients`. Color; p; alpha by the colors of the certain hair and of the certain rest
    nearby, as the place of the pixel's color on the line between them (0 … 1), and the squared length of that line; and
    the differences to both colors.
    """
    hair = color_nearby(guide, np.clip((p - KNOWN_HAIR) / (1 - KNOWN_HAIR), 0, 1))
    rest = color_nearby(guide, np.clip((1 - KNOWN_HAIR - p) / (1 - KNOWN_HAIR), 0, 1))
    line, to_hair, to_rest = hair - rest, guide - hair, guide - rest
    ones = np.ones((1, 3), np.float32)
    length = cv2.transform(line * line, ones).reshape(p.shape)
    alpha = cv2.transform(to_rest * line, ones).reshape(p.shape) / (length + NOISE)
    return cv2.merge([*cv2.split(guide), p, np.clip(alpha, 0, 1), length, *cv2.split(to_hair), *cv2.split(to_rest)])


def color_nearby(rgb: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean color around each pixel, the nearer the more: (h, w, 3) float32.

    rgb: (h, w, 3) float32. weights: (h, w) float32. Where all weights are 0, the mean color.
    """
    height, width = weights.shape
    size = (-(-width // REDUCED), -(-height // REDUCED))
    weighted = cv2.merge([*cv2.split(rgb * weights[..., None]), weights])
    small = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
    sums = 1e-6 * np.array([*cv2.mean(rgb)[:3], 1], np.float32)
    for side, weight in NEIGHBORHOODS:
        sums = sums + np.float32(weight) * cv2.blur(small, (side, side), borderType=cv2.BORDER_REFLECT_101)
    color = (sums[..., :3] / sums[..., 3:]).astype(np.float32)
    return cv2.resize(color, (width, height), interpolation=cv2.INTER_LINEAR)


def tile_starts(length: int) -> range:
    """Where tiles begin along a side of so many pixels; the last may reach beyond the end."""
    return range(0, max(1, length - OVERLAP), MATTING_TILE - OVERLAP)


def tile_feather(before: bool, after: bool) -> np.ndarray:
    """(MATTING_TILE,) float32 weights, 0…1, of a tile with neighbours before and after it or without: with theirs, 1."""
    ramp = (np.arange(OVERLAP, dtype=np.float32) + 0.5) / OVERLAP
    weights = np.ones(MATTING_TILE, np.float32)
    if before:
        weights[:OVERLAP] = ramp
    if after:
        weights[-OVERLAP:] = ramp[::-1]
    return weights
