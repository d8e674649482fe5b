"""Pixel formats: photos and maps in memory, what they hold, and how stored numbers become floating-point ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .metadata import NO_METADATA, Metadata

# Whole numbers of each stored type that mean 1.0.
FULL_SCALE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.float32): 1.0}


@dataclass(frozen=True)
class Photo:
    """A decoded photo: its colors in sRGB, and what its file must get back.

    rgb: (H, W, 3), uint8, uint16 or float32 (nominal range 0…1, beyond it for colors that sRGB cannot show),
    sRGB-encoded.
    alpha: (H, W) of the same dtype, or None where the photo is opaque.
    icc_profile: the color profile that a written file gets, and its colors are expressed in; None for sRGB without one.
    stored: (H, W, 3), uint8, uint16 or float32: the file's own pixels, where its profile is not sRGB, so that those whose
    color does not change are written as they were; else None.
    notices: sentences for the user on how it was read.
    metadata: what else its file said, for the copies that are written.
    Raises ValueError for arrays that are none of that, or empty.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    stored: np.ndarray | None = None
    notices: tuple[str, ...] = ()
    metadata: Metadata = NO_METADATA

    def __post_init__(self):
        check_rgb(self.rgb)
        if self.stored is not None:
            check_rgb(self.stored)
            if self.stored.shape != self.rgb.shape:
                raise ValueError(
                    f"The stored pixels are {self.stored.shape}: they must be {self.rgb.shape}, as the photo."
                )
        if self.alpha is not None:
            check_map(self.alpha, self.rgb.shape[:2], self.rgb.dtype)

    @property
    def height(self) -> int:
        return self.rgb.shape[0]

    @property
    def width(self) -> int:
        return self.rgb.shape[1]


class Stored(NamedTuple):
    """What a file holds, upright.

    pixels: (H, W, 3) uint8, uint16 or float32, the numbers as they are; of gray files three times the same.
    alpha: (H, W) of that dtype, or None. icc_profile: what they mean, or None. model: "RGB" or "GRAY".
    notices, metadata: as those of a Photo.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc_profile: bytes | None
    model: str
    notices: tuple[str, ...] = ()
    metadata: Metadata = NO_METADATA


def check_rgb(rgb: np.ndarray, channels: tuple[int, ...] = (3,)) -> None:
    """Raise ValueError unless `rgb` is (H, W, 3), or of other channels, of uint8, uint16 or float32 and not empty."""
    if isinstance(rgb, np.ndarray) and rgb.ndim == 3 and rgb.shape[2] in channels and rgb.size:
        if rgb.dtype in FULL_SCALE:
            return
    raise ValueError(
        f"The picture is {_describe_array(rgb)}: it must be (height, width, 3) of uint8, uint16 or float32, and not empty."
    )


def check_map(values: np.ndarray, shape: tuple[int, ...], dtype) -> None:
    """Raise ValueError unless `values` is (H, W), of that shape and one stored type, and not empty."""
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.size and values.dtype in FULL_SCALE:
        if values.shape == shape and values.dtype == dtype:
            return
    raise ValueError(f"The map is {_describe_array(values)}: it must be {shape} of {np.dtype(dtype)}, and not empty.")


def _describe_array(value: object) -> str:
    return f"{value.shape} of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Stored pixels of any shape (uint8, uint16, float32) -> float32, nominal range 0…1."""
    if pixels.dtype == np.float32:
        return pixels
    return cv2.multiply(pixels, 1.0 / FULL_SCALE[pixels.dtype], dtype=cv2.CV_32F).reshape(pixels.shape)


def from_float(values: np.ndarray, dtype) -> np.ndarray:
    """float32, nominal range 0…1, of any shape -> uint8 or uint16 (rounded, clipped) or float32 (as it is)."""
    dtype = np.dtype(dtype)
    if dtype == np.float32:
        return values
    depth = cv2.CV_8U if dtype == np.uint8 else cv2.CV_16U
    return cv2.multiply(np.clip(values, 0, 1), FULL_SCALE[dtype], dtype=depth).reshape(values.shape)


def bounded(values: np.ndarray) -> np.ndarray:
    """float32 of any shape, with anything in it -> within 0…1; NaN becomes 0."""
    values = np.clip(values, 0, 1)
    return np.nan_to_num(values, copy=False) if np.isnan(values.max(initial=0)) else values
