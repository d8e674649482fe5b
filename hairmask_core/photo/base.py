"""Photo -> its base, the large forms of light and shade, as apart from the detail, which is single strands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .oklab import perceived, rgb_to_oklab
from .pixels import bounded, to_float

LONG_SIDE = 1000  # pixels at which it is found: it changes slowly
RADIUS = 0.01  # of the long side: strands are finer, locks and the head's rounding larger
EDGE = 0.03  # step of lightness from which it is an edge and belongs to the base
# One level of 8 bits, by which compressed photos are off everywhere, is this much lightness near black (the slope of
# CIE L* / 100 there, 9.033, over 255 · 12.92) and less than twice as much anywhere.
NOISE = 0.004


@dataclass(frozen=True)
class Base:
    """The base of a photo, or of a part of it, at a smaller scale.

    planes: (h, w, 3) float32, of the whole photo: at a pixel of lightness x, the base is planes[0]·x + planes[1], and
    planes[2], 0…1, is how much of what differs from it nearby is no noise. size: (height, width) of the photo.
    corner: (y, x) of the part's first pixel.
    """

    planes: np.ndarray
    size: tuple[int, int]
    corner: tuple[int, int] = (0, 0)

    def part(self, y: int, x: int = 0) -> Base:
        """Of the part that begins y rows below and x columns right of this one."""
        return replace(self, corner=(self.corner[0] + y, self.corner[1] + x))

    @property
    def exact(self) -> bool:
        """Whether the planes are as fine as the photo."""
        return self.planes.shape[:2] == self.size

    def places(self, axis: int, count: int) -> np.ndarray:
        """Where `count` rows (axis 0) or columns (1) of the part lie in the planes: (count,) float32, from 0."""
        small = self.planes.shape[axis]
        place = (np.arange(count) + self.corner[axis] + 0.5) * (small / self.size[axis]) - 0.5
        return np.clip(place, 0, small - 1).astype(np.float32)


def find_base(rgb: np.ndarray) -> Base:
    """The base of a photo's lightness.

    rgb: (H, W, 3 or more) uint8, uint16 or float32, sRGB-encoded; what follows blue does not count, NaN counts as 0.

    Method: base and detail (Durand, Dorsey 2002, "Fast bilateral filtering for the display of high-dynamic-range
    images") by the guided filter (He, Sun, Tang 2013), whose coefficients are found at a smaller scale (He, Sun 2015,
    "Fast guided filter"); the share of the signal in local variance is Wiener's: (variance - noise) / variance.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(np.ascontiguousarray(rgb[..., :3]), size, interpolation=cv2.INTER_AREA)
    lab = rgb_to_oklab(np.ascontiguousarray(bounded(to_float(small))))
    x = perceived(np.clip(lab[..., 0], 0, 1)).astype(np.float32)
    side = 2 * max(1, round(RADIUS * max(size))) + 1

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)

    middle = mean(x)
    variance = np.maximum(mean(x * x) - middle * middle, 0)
    slope = variance / (variance + np.float32(EDGE**2))
    signal = np.maximum(variance - np.float32(NOISE**2), 0) / np.maximum(variance, np.float32(1e-9))
    planes = cv2.merge([mean(slope), mean(middle - slope * middle), signal])
    return Base(planes, (height, width))
