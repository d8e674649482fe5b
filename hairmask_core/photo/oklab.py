"""sRGB to linear light and to OKLab, and back."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from .pixels import FULL_SCALE

# OKLab (Ottosson 2020, "A perceptual color space for image processing"): linear sRGB -> cone response -> Lab, and
# the inverse of both.
RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
LAB_TO_LMS = np.linalg.inv(LMS_TO_LAB)
LMS_TO_RGB = np.linalg.inv(RGB_TO_LMS)


def rgb_to_oklab(rgb: np.ndarray, light: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """(h, w, 3) uint8, uint16 or float32 sRGB-encoded (nominal 0…1) -> float32 OKLab (Ottosson 2020).

    light: linear red, green and blue of what counts as white (von Kries's adaptation, in sRGB's own primaries).
    """
    lms = cv2.transform(srgb_to_linear(rgb), (RGB_TO_LMS / light).astype(np.float32))
    # OpenCV's power and not NumPy's cube root, which is the C library's on many processors and not the same in all.
    return cv2.transform(np.copysign(cv2.pow(np.abs(lms), 1 / 3), lms), LMS_TO_LAB.astype(np.float32))


def oklab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 OKLab -> float32 sRGB-encoded, clipped to 0…1."""
    return linear_to_srgb(np.clip(oklab_to_linear(lab), 0, 1))


def oklab_to_linear(lab: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 OKLab -> float32 linear sRGB, beyond 0…1 for colors that sRGB cannot show."""
    lms = cv2.transform(lab, LAB_TO_LMS.astype(np.float32))
    return cv2.transform(lms * lms * lms, LMS_TO_RGB.astype(np.float32))


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB transfer function (IEC 61966-2-1): (h, w, 3) float32 linear light, 0…1 -> float32 sRGB-encoded, 0…1."""
    return np.where(
        linear <= 0.0031308,
        linear * np.float32(12.92),
        cv2.pow(linear, 1 / 2.4) * np.float32(1.055) - np.float32(0.055),
    )


@functools.cache
def linear_levels(dtype: np.dtype) -> np.ndarray:
    """Linear light, 0…1, of every level of uint8 or uint16: (256,) or (65536,) float32."""
    return srgb_to_linear(np.linspace(0, 1, int(FULL_SCALE[dtype]) + 1, dtype=np.float32))


def srgb_to_linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB transfer function, inverse (IEC 61966-2-1), mirrored for negative values.

    rgb: uint8, uint16 or float32 of any shape, sRGB-encoded. Returns float32 linear light, nominal range 0…1.
    """
    if rgb.dtype != np.float32:
        return linear_levels(rgb.dtype)[rgb]
    size = np.abs(rgb)
    curved = cv2.pow((size + np.float32(0.055)) / np.float32(1.055), 2.4).reshape(size.shape)
    return np.copysign(np.where(size <= 0.04045, size / np.float32(12.92), curved), rgb)


# Perceived lightness: Ottosson 2021, "Okhsv and Okhsl: two new color spaces for color picking", its "toe".
TOE = (0.206, 0.03, 1.206 / 1.03)


def perceived(lightness: np.ndarray) -> np.ndarray:
    """OKLab lightness 0…1 -> one that runs like CIE L* / 100, which is darker near black."""
    k1, k2, k3 = TOE
    shifted = k3 * lightness - k1
    return 0.5 * (shifted + np.sqrt(shifted**2 + 4 * k2 * k3 * lightness))


def unperceived(lightness: np.ndarray) -> np.ndarray:
    """The inverse of `perceived`."""
    k1, k2, k3 = TOE
    return lightness * (lightness + k1) / (k3 * (lightness + k2))
