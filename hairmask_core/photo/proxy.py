"""Working-scale copies of photos."""

from __future__ import annotations

import cv2
import numpy as np

from .pixels import Photo, bounded, to_float

LARGE = 2000  # pixels of a side, from which a picture is halved before it is shrunk further


def proxy_size(width: int, height: int, long_side: int, multiple: int) -> tuple[int, int]:
    """Width and height of the working-scale copy: `long_side` at most, aspect kept, multiples of `multiple`."""
    scale = long_side / max(width, height)
    small_width, small_height = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return small_width, small_height


def resize_area(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture or a map, (H, W) or (H, W, c), of any stored type, at `size` (width, height), no larger: averages of areas.

    What is large, and far larger than that, is halved before, as long as its sides are even, as cameras' are: OpenCV does that
    many times as fast as any other ratio. It smooths a little more, so small pictures, which take no time, go without.
    """
    width, height = size
    while all(now >= max(LARGE, 4 * then) and now % 2 == 0 for now, then in zip(pixels.shape, (height, width))):
        half = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def shrink(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """A picture or a map, (H, W) or (H, W, c), at `long_side` pixels at most, by averages of areas; same dtype."""
    height, width = pixels.shape[:2]
    if max(height, width) <= long_side:
        return pixels
    scale = long_side / max(height, width)
    return resize_area(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))


def make_proxy(photo: Photo, size: tuple[int, int]) -> np.ndarray:
    """The photo at `size` (width, height) as float32 (h, w, 3) RGB, 0…1, over mid-gray where transparent.

    Shrinking averages areas, so that no detail of a large photo aliases.
    """
    shrinks = size[0] * size[1] < photo.width * photo.height
    resize = resize_area if shrinks else cv2.resize
    proxy = bounded(to_float(resize(photo.rgb, size)))
    if photo.alpha is not None:
        cover = bounded(to_float(resize(photo.alpha, size)))[..., None]
        proxy = proxy * cover + 0.5 * (1 - cover)
    return proxy.astype(np.float32)
