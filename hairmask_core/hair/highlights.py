"""Photo + matte -> the order in which strands get highlights, as a hairdresser sets foils: along the strands."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..photo.oklab import perceived, rgb_to_oklab
from ..photo.scaled_map import ScaledMap
from .strands import shrink, strand_tensor, structure_tensor

LONG_SIDE = 640  # pixels; strands are seen at this scale
# Shares of the head of hair's width or height, the smaller:
WIDTHS = (0.004, 0.012)  # of fine and of broad highlights (standard deviation of the noise across them)
LENGTH = 0.25  # of a strand, to both sides, along which it is highlighted or not
DIRECTIONS = (
    (0.02, 1.0),
    (0.08, 0.01),
    (0.3, 1e-4),
)  # over which directions are averaged, and the weight of each: where
# nothing is seen nearby, as in crushed blacks, strands run as those further away do
FINEST, COARSEST = 0.004, 0.03  # between these the photo's own strands are (standard deviations)

STEP = 1.5  # pixels from one point on a strand to the next
CLEAR = (0.15, 0.45)  # coherence of directions: below, they cannot be followed; above, they count alone
OWN = (0.5, 1.0)  # weight of the photo's own strands, where directions are clear and where they are not
MOST_OWN = 2.0  # standard deviations that one of them may stand out
LEAST_OWN = 0.02  # of lightness, standard deviation of strands that are clearly seen: less may be noise
SEED = 1  # of the noise: the same photo has the same highlights


def highlight_order(
    rgb: np.ndarray, matte: np.ndarray, report: Callable[[float], None] = lambda fraction: None
) -> ScaledMap:
    """The order in which strands get highlights: those whose value is below s are the share s of the hair.

    rgb: (H, W, 3) uint8, uint16 or float32, sRGB-encoded. matte: (H, W) float32 hair probability, 0…1.
    report: called with the fraction done, 0…1; may raise to stop the work.
    Returns a map of one value, 0…1, evenly spread over the hair; 0.5 where there is no hair at all.

    Method: noise averaged along the strands (line integral convolution, Cabral and Leedom 1993, "Imaging vector fields
    using line integral convolution") in two widths, plus the photo's own lighter strands, which count the more the less
    clearly directions are seen, as in curls; then its ranks.
    """
    height, width = matte.shape
    p = shrink(matte, LONG_SIDE)
    hair = p >= 0.5
    if not hair.any():
        return ScaledMap(np.full((1, 1, 1), 0.5, np.float32), height, width)
    small = shrink(rgb, LONG_SIDE)
    rows, columns = (np.flatnonzero(hair.any(axis=axis)) for axis in (1, 0))
    size = float(min(np.ptp(rows), np.ptp(columns)) + 1)
    tensor = inner_tensor(small, p, size)
    report(0.1)
    noise = np.random.default_rng(SEED).standard_normal((len(WIDTHS), *p.shape)).astype(np.float32)
    streaks = np.zeros_like(p)
    for number, width_share in enumerate(WIDTHS):
        blurred = cv2.GaussianBlur(noise[number], (0, 0), max(width_share * size, 0.6))
        streak = average_along(blurred, tensor, LENGTH * size)
        streaks += streak / max(float(streak[hair].std()), 1e-6)
        report(0.1 + 0.8 * (number + 1) / len(WIDTHS))
    streaks /= max(float(streaks[hair].std()), 1e-6)
    clear = np.clip((coherence(tensor) - CLEAR[0]) / (CLEAR[1] - CLEAR[0]), 0, 1)
    score = clear * streaks + (OWN[1] + clear * (OWN[0] - OWN[1])) * own_strands(small, p, size)
    inside = np.sort(score[hair])
    order = 1 - np.searchsorted(inside, score) / np.float32(len(inside))
    report(1.0)
    return ScaledMap(order.astype(np.float32)[..., None], height, width)


def inner_tensor(rgb: np.ndarray, p: np.ndarray, size: float) -> np.ndarray:
    """`strand_tensor`, averaged over the hair's inside, lest its outline count as a strand.

    rgb: (h, w, 3) float32, 0…1. p: (h, w) float32. size: of the hair, pixels. Returns (h, w, 3) float32.
    """
    inside = cv2.erode(p, np.ones((5, 5), np.uint8)) ** 2
    structure = structure_tensor(rgb)
    return strand_tensor(
        sum(np.float32(weight) * blur_inside(structure, inside, share * size) for share, weight in DIRECTIONS)
    )


def blur_inside(values: np.ndarray, weight: np.ndarray, deviation: float) -> np.ndarray:
    """Averaged by a Gaussian where there is weight (normalized convolution, Knutsson and Westin 1993).

    values: (h, w) or (h, w, c) float32. weight: (h, w) float32, 0…1. deviation: pixels.
    """
    spread = weight if values.ndim == 2 else weight[..., None]
    total = cv2.GaussianBlur(weight, (0, 0), deviation) + np.float32(1e-3)
    return cv2.GaussianBlur(values * spread, (0, 0), deviation) / (total if values.ndim == 2 else total[..., None])


def coherence(tensor: np.ndarray) -> np.ndarray:
    """How far all strands nearby run one way: (h, w) float32, from 0 to 1. tensor: (h, w, 3)."""
    return np.sqrt((tensor[..., 0] - tensor[..., 2]) ** 2 + 4 * tensor[..., 1] ** 2)


def average_along(values: np.ndarray, tensor: np.ndarray, length: float) -> np.ndarray:
    """The mean of values on the strand through each pixel, for `length` pixels to both sides: (h, w) float32.

    values: (h, w) float32. tensor: (h, w, 3) float32, of `inner_tensor`.
    """
    across = 0.5 * np.arctan2(2 * tensor[..., 1], tensor[..., 0] - tensor[..., 2])
    along_x, along_y = -np.sin(across), np.cos(across)
    height, width = values.shape
    first_x, first_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    total, count = values.copy(), max(1, int(length / STEP))
    for way in (1, -1):
        x, y, step_x, step_y = first_x, first_y, way * along_x, way * along_y
        for _ in range(count):
            x, y = x + np.float32(STEP) * step_x, y + np.float32(STEP) * step_y
            total += cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            next_x, next_y = (
                cv2.remap(part, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) for part in (along_x, along_y)
            )
            forward = np.where(next_x * step_x + next_y * step_y < 0, np.float32(-1), np.float32(1))
            step_x, step_y = forward * next_x, forward * next_y
    return total / (2 * count + 1)


def own_strands(rgb: np.ndarray, p: np.ndarray, size: float) -> np.ndarray:
    """How much lighter than the hair around it each pixel is, in local standard deviations, within MOST_OWN.

    rgb: (h, w, 3) float32, 0…1. p: (h, w) float32. size: of the hair, pixels. Returns (h, w) float32.
    """
    lightness = perceived(np.clip(rgb_to_oklab(np.ascontiguousarray(rgb))[..., 0], 0, 1)).astype(np.float32)
    around = blur_inside(lightness, p, COARSEST * size)
    lighter = cv2.GaussianBlur(lightness, (0, 0), FINEST * size) - around
    spread = np.sqrt(blur_inside(lighter * lighter, p, 2 * COARSEST * size))
    return np.clip(lighter / (spread + np.float32(LEAST_OWN)), -MOST_OWN, MOST_OWN)
