"""The recolored photo laid over the original, as GIMP shows the masked layer."""

from __future__ import annotations

import cv2
import numpy as np

from ..photo.pixels import check_map, check_rgb, from_float, to_float
from ..photo.strips import row_strips


def blend(original: np.ndarray, recolored: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """(1-p)·original + p·recolored, on sRGB-encoded values, as GIMP shows the masked layer.

    original, recolored: (H, W, 3), uint8, uint16 or float32, both of one dtype. matte: (H, W) float32, 0…1.
    Returns that dtype. Where one of them is NaN, the result is NaN. Raises ValueError for other arrays.
    """
    check_rgb(original)
    check_rgb(recolored)
    if recolored.shape != original.shape or recolored.dtype != original.dtype:
        raise ValueError(f"The recolored picture must be {original.shape} of {original.dtype}, as the original.")
    check_map(matte, original.shape[:2], np.float32)
    out = np.empty_like(original)
    for rows in row_strips(*matte.shape):
        below, p = to_float(original[rows]), matte[rows, :, None]
        out[rows] = from_float(below + p * (to_float(recolored[rows]) - below), original.dtype)
    return out


def take_color(original: np.ndarray, recolored: np.ndarray) -> np.ndarray:
    """The original's lightness with the recolored photo's chroma and hue, as GIMP's layer mode LCh Color shows it.

    Both (H, W, 3) of one dtype. Returns that dtype. In CIE Lab (CIE 15:2004).
    """
    out = np.empty_like(original)
    for rows in row_strips(*original.shape[:2]):
        lab, color = (cv2.cvtColor(to_float(part[rows]), cv2.COLOR_RGB2Lab) for part in (original, recolored))
        lab[..., 1:] = color[..., 1:]
        out[rows] = from_float(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), original.dtype)
    return out
