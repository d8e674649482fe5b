"""Working-scale copies of photos."""

from __future__ import annotations

import cv2
import numpy as np

from .pixels import Photo, bounded, to_float


def proxy_size(width: int, height: int, long_side: int, multiple: int) -> tuple[int, int]:
    """Width and height of the working-scale copy: `long_side` at most, aspect kept, multiples of `multiple`."""
    scale = long_side / max(width, height)
    small_width, small_height = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return small_width, small_height


def shrink(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """A picture or a map, (H, W) or (H, W, c), at `long_side` pixels at most, by averages of areas; same dtype."""
    height, width = pixels.shape[:2]
    if max(height, width) <= long_side:
        return pixels
    scale = long_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def make_proxy(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    """The photo at `size` (width, height) as float32 (h, w, 3) RGB, 0…1, over mid-gray where transparent.

    Shrinking averages areas, so that no detail of a large photo aliases.
    """
    shrinks = size[0] * size[1] < photo.width * photo.height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    proxy = bounded(to_float(cv2.resize(photo.rgb, size, interpolation=method)))
    if photo.alpha is not None:
        cover = bounded(to_float(cv2.resize(photo.alpha, size, interpolation=method)))[..., None]
        proxy = proxy * cover + 0.5 * (1 - cover)
    return proxy.astype(np.float32)
