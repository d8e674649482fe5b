"""The guided filter with a color guide: a map made to follow the edges of a photo."""

from __future__ import annotations

import cv2
import numpy as np

FINENESS = 9  # blocks along the side of a large window of the filter

# Orthonormal: gray, red against blue, green against both.
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [-1, 2, -1]], np.float32) / np.sqrt(np.array([[3], [2], [6]], np.float32))


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
