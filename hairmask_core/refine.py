"""Coarse probability map -> matte at the photo's full resolution."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .image import FULL_SCALE, bounded, check_map, check_rgb, to_float, work_in_strips
from .matting import knows_hair, matting_coefficients
from .oklab import rgb_to_oklab

WORK_LONG_SIDE = 1536  # the filter's coefficients are fitted at this scale, then applied at full resolution
RADIUS = 3.0  # of the filter window, in pixels of the coarse map: as far as the network's outline may be off
EPSILON = 1e-3  # regularisation: guide variance below this counts as flat (guide in 0…1)
NEIGHBORHOOD = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 16
UNCERTAIN = (0.05, 0.95)  # between these the pixel-level classifier decides
SURE = 0.9  # from here on, and below 1 - SURE, a photo's own pixels tell what its hair and the rest look like
COLOR_BINS = 16  # along each axis of OKLab
FEATURES = 21  # of a pixel
GUESSED = 0.5  # share of the time until the coefficients are there
CLASSIFIED_AT_ONCE = 1 << 15  # pixels; a tenth of a second at most, after which the work can be cancelled
FINENESS = 9  # blocks along the side of a large window of the filter
# Orthonormal: gray, red against blue, green against both.
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]], np.float32) / np.sqrt(np.array([[3], [2], [6]], np.float32))
HAZE = 0.05  # probabilities within this of 0 and 1 become exactly 0 and 1, so that no veil covers the photo


def sharpen(p: np.ndarray) -> np.ndarray:
    """1 - (1 - p)²: the probability that at least one of two such votes says hair.

    p: float32 of any shape, 0…1; returned alike. 0 and 1 stay, everything between rises.
    """
    return 1 - (1 - p) ** 2


def ask_neighbors(p: np.ndarray) -> np.ndarray:
    """Each probability averaged with its eight neighbours', the nearer the more: a convolution by NEIGHBORHOOD.

    p: (h, w) float32, 0…1, continued by reflection at the edges; returned alike.
    """
    return cv2.filter2D(p, -1, NEIGHBORHOOD, borderType=cv2.BORDER_REFLECT_101)


def describe_pixels(rgb: np.ndarray, p: np.ndarray, check: Callable[[], None] = lambda: None) -> np.ndarray:
    """What the pixel-level classifier sees of each pixel: (h, w, FEATURES) float32, all of the order of 1.

    rgb: (h, w, 3) float32, 0…1, at the working scale. p: (h, w) float32 hair probability, 0…1.
    check: called several times on the way; may raise to stop the work.

    Color (OKLab) of the pixel and around it; how much lightness varies around it, and how much of that in one direction
    (coherence of the structure tensor, Bigün, Granlund 1987); how far the color is from that of the photo's certain
    hair and from that of its certain rest, and how much oftener it occurs in the one than in the other; the
    probability there and in larger and larger neighbourhoods.
    """
    lab = rgb_to_oklab(rgb)
    check()
    lightness = np.ascontiguousarray(lab[..., 0])

    def mean(x, side):
        return cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT_101)

    features = [lab[..., c] for c in range(3)]
    for side in (5, 15):
        near = mean(lab, side)
        features += [near[..., c] for c in range(3)]
        features.append(4 * np.sqrt(np.maximum(mean(lightness**2, side) - near[..., 0] ** 2, 0)))
        check()
    dx, dy = cv2.Sobel(lightness, -1, 1, 0), cv2.Sobel(lightness, -1, 0, 1)
    xx, yy, xy = mean(dx * dx, 9), mean(dy * dy, 9), mean(dx * dy, 9)
    features.append(np.sqrt((xx - yy) ** 2 + 4 * xy**2) / (xx + yy + 1e-4))
    check()
    features += _compare_colors(lab, p)
    check()
    odds = np.clip(p, 1e-3, 1 - 1e-3)
    features.append(np.log(odds / (1 - odds)) / 4)
    features += [p, *(mean(p, side) for side in (3, 9, 25, 75))]
    check()
    return np.stack(features, axis=2).astype(np.float32)


def _compare_colors(lab: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
    """Distances to the mean color of the certain hair and of the certain rest, and the log ratio of color frequencies."""
    bins = (lab * COLOR_BINS / (1, 0.5, 0.5) + (0, COLOR_BINS / 2, COLOR_BINS / 2)).astype(int)
    bins = np.clip(bins, 1, COLOR_BINS - 2)  # the outermost stay empty, so that the shifts below bring nothing around
    index = np.ravel_multi_index(tuple(bins.reshape(-1, 3).T), (COLOR_BINS,) * 3)
    distances, counts = [], []
    for sure in (p > SURE, p < 1 - SURE):
        center = lab[sure].mean(axis=0) if sure.any() else lab.mean(axis=(0, 1))
        distances.append(3 * np.linalg.norm(lab - center, axis=2))
        histogram = np.bincount(index[sure.reshape(-1)], minlength=COLOR_BINS**3).reshape((COLOR_BINS,) * 3)
        for axis in range(3):  # neighbouring colors count as well
            histogram = sum(weight * np.roll(histogram, by, axis) for by, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)))
        counts.append((histogram.reshape(-1)[index] + 0.1) / (sure.sum() + 100))
    return [*distances, np.log(counts[0] / counts[1]).reshape(p.shape) / 4]


def reclassify(
    rgb: np.ndarray,
    p: np.ndarray,
    classify: Callable[[np.ndarray], np.ndarray],
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Decide the uncertain pixels again, each by what `describe_pixels` says of it.

    rgb, p: as for `describe_pixels`. classify: (n, FEATURES) float32 -> (n,) float32 probability, 0…1.
    report: called with the fraction done, 0…1, after each piece of the work; may raise to stop it.
    Returns (h, w) float32, 0…1; pixels outside UNCERTAIN keep their probability.
    """
    out = p.copy()
    uncertain = np.flatnonzero((p > UNCERTAIN[0]) & (p < UNCERTAIN[1]))
    if uncertain.size:
        features = describe_pixels(rgb, p, lambda: report(0.0)).reshape(-1, FEATURES)
        for start in range(0, uncertain.size, CLASSIFIED_AT_ONCE):
            report(start / uncertain.size)
            some = uncertain[start : start + CLASSIFIED_AT_ONCE]
            out.reshape(-1)[some] = np.clip(classify(features[some]), 0, 1)
    report(1.0)
    return out


def refine(
    rgb: np.ndarray,
    coarse: np.ndarray,
    network: Callable[[np.ndarray], np.ndarray] | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Matte whose outline follows the photo's own edges.

    rgb: (H, W, 3) uint8, uint16 or float32 (0…1), the guide. coarse: (h, w) float32 in 0…1, any size.
    network: for `matting_coefficients`; without, and where the map is nowhere sure of hair, the guided filter takes its
    place.
    report: called with the fraction done, 0…1, after each strip; may raise to stop the work.
    Returns (H, W) float32 in 0…1. Memory beyond the result is bounded by strips, not by the photo.
    What is no number counts as 0. Raises ValueError for arrays that are none of that, or empty.

    Method: the matte is a linear function of the color, whose coefficients are found on a reduced copy and applied at
    full resolution (He, Sun 2015, "Fast Guided Filter"). They are those of `matting_coefficients`, or of the guided
    filter with a color guide (He, Sun, Tang 2013, "Guided Image Filtering", eq. 19-21).
    """
    check_rgb(rgb)
    check_map(coarse, np.shape(coarse), np.float32)
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK_LONG_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide = bounded(to_float(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)))
    target = cv2.resize(bounded(coarse), size, interpolation=cv2.INTER_LINEAR)
    pixel = max(size) / max(coarse.shape)  # of the map, in pixels of the guide
    if network and knows_hair(target):
        coefficients = matting_coefficients(guide, target, pixel, network, lambda done: report(GUESSED * done))
    else:
        coefficients = guided_filter_coefficients(guide, target, max(1, round(RADIUS * pixel)), EPSILON)

    def apply(rows: slice) -> np.ndarray:
        here = _enlarge_rows(coefficients, rows, height, width)
        strip = bounded(rgb[rows]) if rgb.dtype == np.float32 else rgb[rows]
        colors = cv2.cvtColor(strip, cv2.COLOR_RGB2RGBA)  # the constant's factor is the full alpha
        parts = cv2.multiply(here, colors, scale=1 / FULL_SCALE[rgb.dtype], dtype=cv2.CV_32F)
        return clear_haze(cv2.transform(parts, np.ones((1, 4), np.float32)).reshape(strip.shape[:2]))

    matte = np.empty((height, width), np.float32)
    for rows, strip in work_in_strips(apply, height, width, lambda done: report(GUESSED + (1 - GUESSED) * done)):
        matte[rows] = strip
    return matte


def enlarge(coarse: np.ndarray, width: int, height: int) -> np.ndarray:
    """The coarse map (h, w) float32 as it is, bilinearly brought to (height, width), range kept."""
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def clear_haze(p: np.ndarray) -> np.ndarray:
    """Stretch probabilities so that [HAZE, 1 - HAZE] becomes [0, 1], and clip; float32 of any shape."""
    return np.clip((p - HAZE) * np.float32(1 / (1 - 2 * HAZE)), 0, 1)


def guided_filter_coefficients(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Window-averaged linear coefficients of the color guided filter.

    guide: (h, w, 3) float32. target: (h, w) float32. radius: pixels. epsilon: variance, guide's units².
    Returns (h / s, w / s, 4) float32, s the side of a window in FINENESS blocks, 1 for small windows: enlarged to
    (h, w), the filtered target is `(c[..., :3] * guide).sum(-1) + c[..., 3]`.

    Method: He, Sun, Tang 2013, eq. 19-21; the 3x3 systems are solved in closed form by cofactors. The colors are turned
    into opponent ones first, which leaves the solution as it is: where the guide is gray, all three channels are alike
    and the systems near-singular, but not those of gray and two differences. Large windows are put together from whole
    blocks of s x s pixels; as means over windows, the coefficients hardly change within a block.
    """
    height, width = target.shape
    side = max(1, (2 * radius + 1) // FINENESS)
    size = (max(1, round(width / side)), max(1, round(height / side)))
    reach = round(((2 * radius + 1) / side - 1) / 2)

    def blocks(x):
        return x if side == 1 else cv2.resize(x, size, interpolation=cv2.INTER_AREA)

    def mean(x):
        return cv2.blur(x, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REFLECT)

    x, y, z = cv2.split(cv2.transform(guide - np.float32(0.5), OPPONENT))
    products = [x, y, z, target, x * x, y * y, z * z, x * y, x * z, y * z, x * target, y * target, z * target]
    mean_x, mean_y, mean_z, mean_p, xx, yy, zz, xy, xz, yz, xp, yp, zp = (mean(blocks(product)) for product in products)
    xx += epsilon - mean_x * mean_x
    yy += epsilon - mean_y * mean_y
    zz += epsilon - mean_z * mean_z
    xy -= mean_x * mean_y
    xz -= mean_x * mean_z
    yz -= mean_y * mean_z
    xp -= mean_x * mean_p
    yp -= mean_y * mean_p
    zp -= mean_z * mean_p
    # Cofactors of the symmetric covariance matrix.
    c_xx, c_xy, c_xz = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    c_yy, c_yz, c_zz = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    determinant = xx * c_xx + xy * c_xy + xz * c_xz
    a_x = (c_xx * xp + c_xy * yp + c_xz * zp) / determinant
    a_y = (c_xy * xp + c_yy * yp + c_yz * zp) / determinant
    a_z = (c_xz * xp + c_yz * yp + c_zz * zp) / determinant
    offset = mean_p - a_x * mean_x - a_y * mean_y - a_z * mean_z
    slopes = cv2.transform(cv2.merge([mean(a_x), mean(a_y), mean(a_z)]), OPPONENT.T)
    constant = mean(offset) - np.float32(0.5) * cv2.transform(slopes, np.ones((1, 3), np.float32)).reshape(size[::-1])
    return cv2.merge([*cv2.split(slopes), constant])


def _enlarge_rows(small: np.ndarray, rows: slice, height: int, width: int) -> np.ndarray:
    """Rows `rows` of `small` bilinearly enlarged to (height, width): the same values for any cut into strips."""
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * (small.shape[0] / height) - 0.5
    y = np.clip(y, 0, small.shape[0] - 1)
    above = np.floor(y).astype(int)
    below = np.minimum(above + 1, small.shape[0] - 1)
    weight = (y - above).astype(np.float32)[:, None, None]
    band = small[above] * (1 - weight) + small[below] * weight
    return cv2.resize(band, (width, len(y)), interpolation=cv2.INTER_LINEAR)
