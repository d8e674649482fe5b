"""How far a matte is from the true alpha: the four errors of Rhemann et al. 2009.

"A Perceptually Motivated Online Benchmark for Image Matting" (CVPR 2009). `alpha` and `truth` are (h, w) float32 in
0…1. All errors are sums over the picture, in thousands, as usual for SAD, but for MSE, which is a mean.
"""

from __future__ import annotations

import cv2
import numpy as np

SIGMA = 1.4  # pixels, of the gradient's Gaussian
LEVELS = np.linspace(0.1, 1, 10)  # of connectivity
TOLERANCE = 0.15  # of connectivity: smaller distances do not count


def sad(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Sum of absolute differences, thousands."""
    return float(np.abs(alpha - truth).sum(dtype=np.float64)) / 1000


def mse(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared error."""
    return float(np.square(alpha - truth).mean(dtype=np.float64))


def gradient_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Sum of squared differences of the gradients' magnitudes (first-order Gaussian derivatives), thousands."""
    return float(np.square(gradient_magnitude(alpha) - gradient_magnitude(truth)).sum(dtype=np.float64)) / 1000


def gradient_magnitude(x: np.ndarray) -> np.ndarray:
    """(h, w) float32: length of the gradient of `x` smoothed by a Gaussian of SIGMA pixels."""
    radius = int(np.ceil(3 * SIGMA))
    at = np.arange(-radius, radius + 1)
    smooth = np.exp(-(at**2) / (2 * SIGMA**2))
    slope = -at / SIGMA**2 * smooth
    # Scaled as Rhemann et al. do: the kernel's sum of squares is 1.
    kernel = np.outer(smooth, slope)
    scale = 1 / np.sqrt(np.square(kernel).sum())
    dx = cv2.sepFilter2D(x, cv2.CV_32F, slope * scale, smooth, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.sepFilter2D(x, cv2.CV_32F, smooth, slope * scale, borderType=cv2.BORDER_REPLICATE)
    return cv2.magnitude(dx, dy)


def connectivity_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Sum of differences of how well pixels hang together with the largest solid region, thousands.

    A pixel's degree of connectedness is 1 less the distance from the highest level at which it still belongs to the
    region that is solid in both mattes, where that distance is TOLERANCE or more.
    """
    reached, connected = np.zeros(alpha.shape, np.float32), np.ones(alpha.shape, bool)
    for level in LEVELS:
        both = ((alpha >= level) & (truth >= level)).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(both, connectivity=4)
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if count > 1 else -1
        connected &= labels == largest
        reached[connected] = level
    return float(np.abs(_connectedness(alpha, reached) - _connectedness(truth, reached)).sum(dtype=np.float64)) / 1000


def _connectedness(matte: np.ndarray, reached: np.ndarray) -> np.ndarray:
    distance = matte - reached
    return 1 - distance * (distance >= TOLERANCE)
