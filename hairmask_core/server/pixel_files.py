"""Shared pixel files: raw pixels and masks of a request, in the private directory."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import xxhash

from ..errors import RequestError
from ..options import PixelFormat, shown
from ..photo.pixels import FULL_SCALE, Photo, from_float
from ..photo.strips import work_in_strips

PIXEL_TYPES = {PixelFormat.U8: np.uint8, PixelFormat.U16: np.uint16, PixelFormat.FLOAT: np.float32}  # as stored
FILES = ("pixels", "limits", "layer_out", "mask_out")  # of a request: a name or a list of names each


def file_names(message: dict) -> list:
    """Whatever a message names as files: an announcement of them, or a request, right or wrong."""
    said = [message.get(key) for key in FILES]
    return [name for names in said for name in (names if isinstance(names, list) else [names])]


def pixel_file(directory: Path, name: object) -> Path:
    """The path of a file of a request. Raises RequestError for any name that leads out of the directory."""
    if not isinstance(name, str) or not re.fullmatch(r"exchange-[A-Za-z0-9_-]{1,64}", name):
        raise RequestError(f"The file name {shown(name)} is not one of the exchange directory: update the plug-in.")
    return directory / name


def read_pixels(path: Path, width: int, height: int, dtype: type, alpha: bool = True) -> np.ndarray:
    """Raw pixels, row by row -> RGBA (H, W, 4). alpha: whether the file has it; else all is opaque.

    Raises RequestError if the file's size is not what the numbers say.
    """
    pixels = _read_file(path, (height, width, 4 if alpha else 3), dtype)
    if dtype is np.float32:  # a layer may hold anything; the pipeline needs numbers
        np.nan_to_num(pixels, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return pixels if alpha else cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)


def to_photo(rgba: np.ndarray) -> Photo:
    """(H, W, 4) -> Photo, without alpha where all is opaque."""
    alpha = cv2.extractChannel(rgba, 3)
    return Photo(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), None if alpha.min() >= FULL_SCALE[rgba.dtype] else alpha)


@dataclass(frozen=True)
class MaskFiles:
    """Raw float32 masks of one size, row by row: (H, W) arrays, each read when its turn comes, as often as asked for.

    Raises RequestError if a file's size is not what the numbers say.
    """

    paths: list[Path]
    shape: tuple[int, int]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (_read_file(path, self.shape, np.float32) for path in self.paths)


def write_mask(path: Path, matte: np.ndarray, dtype: type) -> None:
    """Matte -> raw file of that type, row by row."""
    size = matte.size * np.dtype(dtype).itemsize
    strips = work_in_strips(lambda rows: from_float(matte[rows], dtype), *matte.shape)
    write_pixels(path, size, (strip for _, strip in strips))


def write_pixels(path: Path, size: int, pieces: Iterable[np.ndarray]) -> None:
    """Pixels, some rows at a time -> raw file of `size` bytes, row by row."""
    with _create(path, size) as file:
        for rows in pieces:
            file.write(np.ascontiguousarray(rows).data)


def hash_pixels(*arrays: np.ndarray) -> bytes:
    """A digest of shapes, types and pixels of (H, W, …) arrays, contiguous: equal photos have equal hair."""
    digest = xxhash.xxh3_128()
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(array.data)
    return digest.digest()


def _read_file(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    try:
        size = path.lstat().st_size
        expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if path.is_symlink() or size != expected:
            raise RequestError(f"{path.name} has {size} bytes where {expected} were announced: run the filter again.")
        return np.fromfile(path, dtype).reshape(shape)
    except OSError as error:
        raise RequestError(f"{path.name} cannot be read ({error.strerror}): run the filter again.") from error


def _create(path: Path, size: int):
    """A new file of `size` bytes to write to, so that a full disk shows before the work, and writing is quicker."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags, 0o600), "wb")
        try:
            if hasattr(os, "posix_fallocate") and size:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                file.close()
                raise
        return file
    except OSError as error:
        raise RequestError(
            f"{path.name} cannot be written ({error.strerror}): check the free space of {path.parent}."
        ) from error
