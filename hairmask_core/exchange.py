"""A request's wishes and its files: raw pixels and masks in the private directory."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import xxhash

from .dense import LARGEST_STEP
from .errors import RequestError
from .image import FULL_SCALE, Photo, bounded, from_float, strips, work_in_strips
from .looks import QUALITIES
from .models import ENGINES
from .people import MOST
from .session import DEVICES
from .shades import Shade, find_shade

PIXEL_TYPES = {"u8": np.uint8, "u16": np.uint16, "float": np.float32}
LARGEST_SIDE = 524288  # GIMP's own limit
PEOPLE = ("together", "each")
OUTPUTS = ("layer", "mask", "picture", "lch picture")
FILES = ("pixels", "limits", "layer_out", "mask_out")  # of a request: a name or a list of names each


def check_request(request: dict, directory: Path) -> dict:
    """The request with files as paths and the shade found. Raises RequestError or ShadeError for anything amiss."""
    if request.get("type") != "recolor":
        raise RequestError(f"The worker does not know the request {request.get('type')!r}: update the plug-in.")
    try:
        shade, tips = request["shade"], request["tips"]
        wish = {
            "width": int(request["width"]),
            "height": int(request["height"]),
            "format": PIXEL_TYPES[request["format"]],
            "mask_format": PIXEL_TYPES[request["mask_format"]],
            "pixels": exchange_file(directory, request["pixels"]),
            "limits": [exchange_file(directory, name) for name in request["limits"]],
            "layer_out": [exchange_file(directory, name) for name in request["layer_out"]],
            "mask_out": [exchange_file(directory, name) for name in request["mask_out"]],
            "shade": None if shade is None else read_shade_or_photo(shade),
            "tips": None if tips is None else read_shade(tips),
            "strength": float(request["strength"]),
            "engine": str(request["engine"]),
            "step": int(request["step"]),
            "model": None if request["model"] is None else str(request["model"]),
            "quality": str(request["quality"]),
            "refined": bool(request["refined"]),
            "people": str(request["people"]),
            "output": str(request["output"]),
            "device": str(request["device"]),
            "force": bool(request["force"]),
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RequestError(
            f"The request to the worker is incomplete or malformed ({error!r}): update the plug-in."
        ) from error
    if not (0 < wish["width"] <= LARGEST_SIDE and 0 < wish["height"] <= LARGEST_SIDE):
        raise RequestError(
            f"A layer of {wish['width']}x{wish['height']} pixels cannot be recolored: sides must be 1 to {LARGEST_SIDE}."
        )
    if not 0 <= wish["strength"] <= 1:
        raise RequestError(f"A strength of {wish['strength']} is not possible: give a number from 0 to 1.")
    if wish["engine"] not in ENGINES:
        raise RequestError(f"There is no engine {wish['engine']!r}: choose one of {', '.join(ENGINES)}.")
    if not 1 <= wish["step"] <= LARGEST_STEP:
        raise RequestError(f"A step of {wish['step']} is not possible: give a whole number from 1 to {LARGEST_STEP}.")
    if wish["quality"] not in QUALITIES:
        raise RequestError(f"There is no quality {wish['quality']!r}: choose one of {', '.join(QUALITIES)}.")
    if wish["device"] not in DEVICES:
        raise RequestError(f"There is no device {wish['device']!r}: choose one of {', '.join(DEVICES)}.")
    if wish["people"] not in PEOPLE:
        raise RequestError(f"There is no way {wish['people']!r} with people: choose one of {', '.join(PEOPLE)}.")
    if wish["output"] not in OUTPUTS:
        raise RequestError(f"There is no output {wish['output']!r}: choose one of {', '.join(OUTPUTS)}.")
    if wish["shade"] is None and wish["output"] != "mask":
        raise RequestError("A shade is missing: name one, or ask for the mask only.")
    masks = MOST if wish["people"] == "each" else 1
    layers = {"layer": masks, "mask": 0}.get(wish["output"], 1)
    if (len(wish["mask_out"]), len(wish["layer_out"])) != (masks, layers):
        raise RequestError(
            f"The output {wish['output']}, people {wish['people']}, goes to {masks} mask and {layers} layer files, not to "
            f"{len(wish['mask_out'])} and {len(wish['layer_out'])}: update the plug-in."
        )
    return wish


def file_names(request: dict) -> list:
    """Whatever a message names as files: an announcement of them, or a request, checked or not."""
    said = [request.get(key) for key in FILES]
    return [name for names in said for name in (names if isinstance(names, list) else [names])]


def read_shade_or_photo(said: object) -> Shade | Path:
    """A SHADE of the protocol, or the photo whose hair's color is meant. Raises as `read_shade` does."""
    return Path(str(said["photo"])) if isinstance(said, dict) else read_shade(said)


def read_shade(said: object) -> Shade:
    """A SHADE of the protocol. Raises ShadeError, TypeError or ValueError if it is none."""
    if isinstance(said, list):
        red, green, blue = (min(max(float(part), 0.0), 1.0) for part in said)
        said = "#%02x%02x%02x" % tuple(round(255 * part) for part in (red, green, blue))
    return find_shade(str(said))


def exchange_file(directory: Path, name: object) -> Path:
    """The path of a file of a request. Raises RequestError for any name that leads out of the directory."""
    if not isinstance(name, str) or not re.fullmatch(r"exchange-[A-Za-z0-9_-]{1,64}", name):
        raise RequestError(f"The file name {name!r} is not one of the exchange directory: update the plug-in.")
    return directory / name


def read_pixels(path: Path, width: int, height: int, dtype: type) -> np.ndarray:
    """Raw RGBA pixels, row by row -> (H, W, 4). Raises RequestError if the file's size is not what the numbers say."""
    rgba = _read_file(path, (height, width, 4), dtype)
    if dtype is np.float32:  # a layer may hold anything; the pipeline needs numbers
        np.nan_to_num(rgba, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
    return rgba


def to_photo(rgba: np.ndarray) -> Photo:
    """(H, W, 4) -> Photo, without alpha where all is opaque."""
    rgb = np.empty((*rgba.shape[:2], 3), rgba.dtype)

    def split(rows: slice) -> bool:
        cv2.cvtColor(rgba[rows], cv2.COLOR_RGBA2RGB, dst=rgb[rows])
        return cv2.extractChannel(rgba[rows], 3).min() >= FULL_SCALE[rgba.dtype]

    opaque = all([opaque for _, opaque in work_in_strips(split, *rgba.shape[:2])])
    return Photo(rgb, None if opaque else cv2.extractChannel(rgba, 3))


def limit_matte(matte: np.ndarray, limits: list[Path]) -> np.ndarray:
    """The matte times each limit (raw float32 files of the same size): a feathered selection, the layer's own mask."""
    for path in limits:
        matte = matte * bounded(_read_file(path, matte.shape, np.float32))
    return matte


def write_mask(path: Path, matte: np.ndarray, dtype: type) -> None:
    """Matte -> raw file of uint8 or float32, row by row."""
    size = matte.size * np.dtype(dtype).itemsize
    write_pixels(path, size, (from_float(matte[rows], dtype) for rows in strips(*matte.shape)))


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
