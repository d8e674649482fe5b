"""Photo + matte -> how far along its strands the hair is, from root to tip."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..photo.oklab import rgb_to_oklab
from ..photo.pixels import to_float
from ..photo.proxy import resize_area
from ..photo.scaled_map import ScaledMap

DIRECTION_LONG_SIDE = 640  # pixels; strands are seen at this scale
DISTANCE_LONG_SIDE = 224  # pixels; distances are measured at this one, since they change slowly
SMOOTHING = 2.0  # pixels at the first scale over which directions are averaged (standard deviation)
ACROSS = 15.0  # squared: a step across clear strands counts as this much more than one along them
OUTSIDE = 3.0  # a step outside the hair counts as so many inside, so that ways stay in it and still reach all of it
CROWN = 0.15  # share of a head of hair's width or height, the smaller, that counts as its crown
BUN_WIDTH = 0.5  # a bun is narrower than this share of the head of hair's largest width …
BUN_HEIGHT = 0.25  # … down to this share of its width or height, the smaller
TIP_QUANTILE = 0.97  # of a head's distances that counts as its tips: single strands go beyond
BLUR = 0.015  # of the long side (standard deviation): where two ways meet there is no crease

# Steps to the neighbours and beyond, (x, y): sixteen directions, so that distances hardly depend on the grid.
STEPS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (2, -1), (1, 2), (1, -2))


def root_to_tip(
    rgb: np.ndarray, matte: np.ndarray, report: Callable[[float], None] = lambda fraction: None
) -> ScaledMap:
    """Position along the strands: 0 at the roots, 1 at the tips.

    rgb: (H, W, 3) uint8, uint16 or float32, sRGB-encoded. matte: (H, W) float32 hair probability, 0…1.
    report: called with the fraction done, 0…1; may raise to stop the work.
    Returns a map of one value, 0…1; outside the hair as in the nearest hair; all 0 where there is no hair.

    Each head of hair is taken to grow from its crown, at its top, so it should be upright in the photo. Position
    is the length of the shortest way from there through the hair, divided by that of the head's longest ways. Ways along
    strands are short, ways across them long: geodesic distance in the metric of the structure tensor (Bigün, Granlund
    1987; Jbabdi et al. 2008, "Accurate anisotropic fast marching for diffusion-based geodesic tractography", with
    another solver, see `geodesic_distances`). Where no strands are seen it is the ordinary distance within the hair.
    """
    height, width = matte.shape
    p = shrink(matte, DISTANCE_LONG_SIDE)
    if not (p >= 0.5).any():
        return ScaledMap(np.zeros((1, 1, 1), np.float32), height, width)
    report(0.2)
    tensor = strand_tensor(structure_tensor(shrink(rgb, DIRECTION_LONG_SIDE)))
    tensor = cv2.resize(tensor, p.shape[1::-1], interpolation=cv2.INTER_AREA)
    heads = nearest_components(p)
    position = np.zeros(p.shape, np.float32)
    for number in range(1, heads.max() + 1):
        report(0.4 + 0.4 * number / (heads.max() + 1))
        here = (heads == number) & (p >= 0.5)
        way = geodesic_distances(tensor, p, find_crown(here))
        longest = max(float(np.quantile(way[here], TIP_QUANTILE)), 1.0)
        position[heads == number] = np.minimum(way[heads == number] / longest, 1)
    report(0.8)
    position = cv2.GaussianBlur(extend_outward(position, p >= 0.5), (0, 0), BLUR * max(p.shape))
    report(1.0)
    return ScaledMap(np.clip(position, 0, 1)[..., None], height, width)


def structure_tensor(rgb: np.ndarray) -> np.ndarray:
    """The structure tensor of the lightness (Bigün, Granlund 1987): (h, w, 3) float32, entries xx, xy, yy.

    rgb: (h, w, 3) of any stored type.
    """
    lightness = np.ascontiguousarray(rgb_to_oklab(rgb)[..., 0])
    x, y = (cv2.Scharr(lightness, cv2.CV_32F, *axis) / 32 for axis in ((1, 0), (0, 1)))
    return cv2.merge([cv2.GaussianBlur(product, (0, 0), SMOOTHING) for product in (x * x, x * y, y * y)])


def strand_tensor(structure: np.ndarray) -> np.ndarray:
    """How clearly strands run in which direction: (h, w, 3) float32, entries xx, xy, yy of a matrix N.

    structure: (h, w, 3) float32, of `structure_tensor`, averaged or not. For a unit step e, eᵀNe is near 1 across clear
    strands and near 0 along them, and near 0 both ways where there are none. N is the structure tensor less its smaller
    eigenvalue, over the sum of both.
    """
    xx, xy, yy = cv2.split(structure)
    both = xx + yy
    smaller = (both - np.sqrt((xx - yy) ** 2 + 4 * xy**2)) / 2
    return cv2.merge([xx - smaller, xy, yy - smaller]) / (both + np.float32(1e-5))[..., None]


def nearest_components(p: np.ndarray) -> np.ndarray:
    """Which head of hair each pixel belongs to, or is nearest to: (h, w) int32, from 1.

    p: (h, w) float32, 0…1, somewhere >= 0.5. Pieces that nearly touch are one head; specks belong to the nearest.
    """
    reach = max(3, max(p.shape) // 20)
    near = cv2.dilate((p >= 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(near)
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = [i + 1 for i in range(count - 1) if areas[i] > 0.1 * areas.max()]
    away = [cv2.distanceTransform((labels != i).astype(np.uint8), cv2.DIST_L2, 5) for i in large]
    return np.argmin(away, axis=0).astype(np.int32) + 1


def find_crown(head: np.ndarray) -> np.ndarray:
    """Where the roots are: the top of one head of hair, below a bun if there is one. head and result: (h, w) bool.

    A bun is a part at the top that is both narrow and high: it grows away from the crown too.
    """
    rows, columns = (np.flatnonzero(head.any(axis=axis)) for axis in (1, 0))
    size = min(rows[-1] - rows[0], columns[-1] - columns[0])
    widths = head.sum(axis=1)
    wide = np.flatnonzero(widths >= BUN_WIDTH * widths.max())[0]
    top = wide if wide - rows[0] > BUN_HEIGHT * size else rows[0]
    y = np.arange(head.shape[0])[:, None]
    return head & (y >= top) & (y <= top + CROWN * size)


def extend_outward(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Outside, the value of the nearest pixel inside. values: (h, w) float32. inside: (h, w) bool, somewhere true."""
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    known = np.zeros(nearest.max() + 1, np.float32)
    known[nearest[inside]] = values[inside]
    return known[nearest]


def geodesic_distances(tensor: np.ndarray, p: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Length of the shortest way to each pixel from `start`: (h, w) float32, in pixels along strands.

    tensor: of `strand_tensor`. p: (h, w) float32 hair probability. start: (h, w) bool, somewhere true.

    A step e costs sqrt(eᵀ(I + ACROSS·N)e), more outside the hair. Shortest ways over STEPS by relaxing all pixels at
    once until nothing changes (Bellman 1958).
    """
    outside = 1 + (OUTSIDE - 1) * (1 - p)
    costs = []
    for x, y in STEPS:
        stretch = tensor @ np.array([x * x, 2 * x * y, y * y], np.float32)
        cost = outside * np.sqrt(np.float32(x * x + y * y) + ACROSS * np.maximum(stretch, 0))
        here, there = _pair(cost, x, y)
        costs.append((here + there) / 2)
    way = np.where(start, 0, np.inf).astype(np.float32)
    for _ in range(4 * max(p.shape)):
        before = way.copy()
        for (x, y), cost in zip(STEPS, costs):
            here, there = _pair(way, x, y)
            np.minimum(there, here + cost, out=there)
            np.minimum(here, there + cost, out=here)
        if np.array_equal(before, way):
            break
    return way


def _pair(values: np.ndarray, x: int, y: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of the pixels that have a neighbour (x, y) further on, and of those neighbours. x >= 0."""
    height, width = values.shape
    if y < 0:
        return values[-y:, : width - x], values[:y, x:]
    return values[: height - y, : width - x], values[y:, x:]


def shrink(values: np.ndarray, long_side: int) -> np.ndarray:
    """A picture or map at `long_side` at most, areas averaged: float32, 0…1; NaN becomes 0."""
    scale = min(1.0, long_side / max(values.shape[:2]))
    size = tuple(max(1, round(side * scale)) for side in values.shape[1::-1])
    return np.clip(np.nan_to_num(to_float(resize_area(values, size))), 0, 1)
