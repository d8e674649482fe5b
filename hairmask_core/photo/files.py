"""Photos from files and back: formats, bit depths, orientation, color profiles."""

from __future__ import annotations

import os
import struct
import tempfile
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError

from ..errors import PhotoError
from .pixels import FULL_SCALE, Photo, bounded, check_map, check_rgb, from_float, to_float
from .profiles import is_srgb, is_writable, pixels_to_store, read_profile, to_srgb

READABLE = "JPEG, PNG, TIFF, WebP, BMP or GIF"  # as users are told
WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")  # endings of the formats that can be written
DEEP_FORMATS = (".png", ".tif", ".tiff")  # those of them that hold 16 bits

# Turns and mirrors that bring a stored photo upright, by EXIF orientation (Exif 2.32, tag 0x0112).
ORIENTATIONS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


class Stored(NamedTuple):
    """What a file holds, upright.

    pixels: (H, W, 3) uint8, uint16 or float32, the numbers as they are; of gray files three times the same.
    alpha: (H, W) of that dtype, or None. icc_profile: what they mean, or None. model: "RGB" or "GRAY".
    notices: sentences for the user.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc_profile: bytes | None
    model: str
    notices: tuple[str, ...] = ()


def read_photo(path: str | os.PathLike) -> Photo:
    """Decode a photo, upright, its colors in sRGB.

    Parameters
    ----------
    path : str or os.PathLike
        A JPEG, PNG, TIFF, WebP, BMP or GIF file.

    Returns
    -------
    Photo
        `rgb` is (H, W, 3): uint8 of 8-bit files, uint16 of 16-bit PNG and TIFF, float32 of floating-point TIFF, and of
        every file with an RGB profile other than sRGB, whose own pixels are then `stored`. Gray and palette images
        become RGB; gray and CMYK become sRGB through the embedded profile where there is one. A profile that cannot be
        used counts as none, and `notices` says so.

    Raises
    ------
    PhotoError
        With a sentence for the user, for a file that is missing, empty, not an image, cut off, or too large.

    References
    ----------
    Orientation: Exif 2.32, tag 0x0112. Profiles: ICC.1:2022.

    Examples
    --------
    >>> photo = read_photo("portrait.jpg")
    >>> photo.rgb.shape, str(photo.rgb.dtype)
    ((512, 512, 3), 'uint8')
    """
    pixels, alpha, icc_profile, model, notices = read_stored(path)
    if not icc_profile:
        return Photo(pixels, alpha, notices=notices)
    try:
        profile = read_profile(icc_profile, model)
    except ValueError as error:
        notice = f"The color profile in {path} {error}: its colors are taken for sRGB."
        return Photo(pixels, alpha, notices=(*notices, notice))
    if is_srgb(profile):
        return Photo(pixels, alpha, icc_profile if model == "RGB" else None, notices=notices)
    rgb = to_srgb(profile, pixels)
    if model == "GRAY":  # no profile for gray fits what becomes of it
        return Photo(from_float(rgb, pixels.dtype), alpha, notices=notices)
    if not is_writable(profile):
        notice = f"The color profile in {path} can only be read: what is written will be sRGB."
        return Photo(from_float(rgb, pixels.dtype), alpha, notices=(*notices, notice))
    return Photo(rgb, None if alpha is None else to_float(alpha), icc_profile, pixels, notices)


def read_stored(path: str | os.PathLike) -> Stored:
    """The numbers of an image file as they are, whatever colors they mean: of masks, for example.

    Raises PhotoError as `read_photo` does.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise PhotoError(f"{path} does not exist: check the path.")
        if path.is_dir():
            raise PhotoError(f"{path} is a folder: name a photo inside it.")
        if not path.is_file():  # a device or a pipe: reading might never end
            raise PhotoError(f"{path} is no regular file: name a photo.")
        data = path.read_bytes()
    except OSError as error:
        raise PhotoError(f"{path} cannot be read ({error.strerror}): check its name and permissions.") from error
    if not data:
        raise PhotoError(f"{path} is empty (0 bytes): copy it again from where it came from.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(BytesIO(data))
            orientation = picture.getexif().get(0x0112, 1)
            picture.load()
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path} is not an image that can be read: use {READABLE}.") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{path} is too large: the limit is 178 megapixels, so scale it down first.") from error
    except Exception as error:  # every decoder has exceptions of its own; all mean the same to the user
        raise PhotoError(
            f"{path} is damaged or cut off and cannot be decoded: copy it again or re-export it."
        ) from error
    if _is_deep(picture, data):
        return _decode_deep(path, data, orientation, picture.info.get("icc_profile"))
    return _from_pillow(path, ImageOps.exif_transpose(picture))


def _is_deep(picture: Image.Image, data: bytes) -> bool:
    """True for files of more than 8 bits a channel, which Pillow would cut down to 8; but for CMYK, which it alone reads."""
    if picture.format == "PNG":
        return data[24] == 16  # IHDR: width, height, then bit depth
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and picture.mode != "CMYK":
        bits = picture.tag_v2.get(258, (8,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return False


def _decode_deep(path: Path, data: bytes, orientation: int, icc_profile: bytes | None) -> Stored:
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype not in FULL_SCALE:
        raise PhotoError(f"{path} has a pixel format that cannot be read: save it as 8- or 16-bit PNG or TIFF.")
    if stored.ndim == 2:
        stored = stored[..., None]
    channels = stored.shape[2]
    stored = ORIENTATIONS.get(orientation, lambda a: a)(stored)
    alpha = np.ascontiguousarray(stored[..., -1]) if channels in (2, 4) else None
    color = stored[..., [2, 1, 0]] if channels >= 3 else stored[..., [0, 0, 0]]
    color = np.ascontiguousarray(color)
    if color.dtype == np.float32:  # a file may hold anything; the rest needs numbers
        color, alpha = np.nan_to_num(color, nan=0, posinf=1, neginf=0), None if alpha is None else bounded(alpha)
    return Stored(color, alpha, icc_profile, "GRAY" if channels < 3 else "RGB")


def _from_pillow(path: Path, picture: Image.Image) -> Stored:
    icc_profile, notices = picture.info.get("icc_profile"), list[str]()
    model = "GRAY" if picture.mode in ("1", "L", "LA", "La", "I", "I;16", "F") else "RGB"
    has_alpha = picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
    if picture.mode in ("CMYK", "LAB", "HSV", "YCbCr"):  # their profiles do not fit the RGB that they become
        if picture.mode == "CMYK" and icc_profile:
            try:
                picture = _cmyk_to_srgb(picture, icc_profile)
            except (ImageCms.PyCMSError, OSError):  # the plain conversion below is what any viewer would show
                notices.append(f"The color profile in {path} is damaged or not for CMYK: its colors are a guess.")
        icc_profile = None
    pixels = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
    alpha = np.ascontiguousarray(pixels[..., 3]) if has_alpha else None
    return Stored(np.ascontiguousarray(pixels[..., :3]), alpha, icc_profile, model, tuple(notices))


def _cmyk_to_srgb(picture: Image.Image, icc_profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
    converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted  # None is only for a conversion in place
    return converted


def write_photo(path: str | os.PathLike, photo: Photo) -> None:
    """Write a photo with its alpha, in its color profile.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its ending names the format: .png, .jpg, .jpeg, .tif, .tiff or .webp. One that exists is replaced in
        one step.
    photo : Photo
        Pixels whose color is as it was read are written as they were stored, the others in the profile of the photo.
        16-bit photos stay so in PNG and TIFF and become 8-bit ones in the others; float32 is written as 16 bits, if it
        was not read from a file of less. JPEG has no alpha: it gets white behind.

    Raises
    ------
    PhotoError
        If the ending is unknown, or the file cannot be written, or not so large a one in that format, or the profile
        cannot be used.

    Examples
    --------
    >>> write_photo("copy.png", read_photo("portrait.jpg"))
    """
    pixels = pixels_to_store(photo)
    alpha = None if photo.alpha is None else from_float(to_float(photo.alpha), pixels.dtype)
    write_image(path, pixels, alpha, photo.icc_profile)


def write_image(
    path: str | os.PathLike,
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    icc_profile: bytes | None = None,
) -> None:
    """Write an image; the file's ending names the format. An existing file is replaced in one step.

    pixels: (H, W, 3) RGB or (H, W) gray; uint8 or uint16; float32 (0…1) is written as 16 bits.
    alpha: (H, W) of the same dtype, or None. JPEG has no alpha: it gets white behind.
    icc_profile: what the pixels mean, or None; they are not changed for it.
    A 16-bit image goes into PNG or TIFF as it is, into JPEG and WebP as 8 bits.

    Raises PhotoError if the ending is unknown, or the file cannot be written, or not so large a one in that format;
    ValueError for arrays that are none of that, or empty.
    """
    check_map(pixels, pixels.shape, pixels.dtype) if np.ndim(pixels) == 2 else check_rgb(pixels)
    if alpha is not None:
        check_map(alpha, pixels.shape[:2], pixels.dtype)
    path = Path(path)
    ending = path.suffix.lower()
    check_writable_name(path)
    if pixels.dtype == np.float32:
        pixels = from_float(pixels, np.uint16)
        alpha = None if alpha is None else from_float(alpha, np.uint16)
    if pixels.dtype == np.uint16 and ending not in DEEP_FORMATS:
        pixels = from_float(to_float(pixels), np.uint8)
        alpha = None if alpha is None else from_float(to_float(alpha), np.uint8)
    if alpha is not None and ending in (".jpg", ".jpeg"):
        cover = to_float(alpha)[..., None]
        pixels, alpha = from_float(to_float(pixels) * cover + (1 - cover), np.uint8), None
    if alpha is not None:
        pixels = np.dstack([pixels, alpha])
    encode = _encode_with_opencv if pixels.dtype == np.uint16 else _encode_with_pillow
    try:
        encoded = encode(pixels, ending, icc_profile)
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path} cannot be written in this format ({error}): name it .png instead.") from error
    _write_in_one_step(path, encoded)


def check_writable_name(path: Path) -> None:
    """Raise PhotoError unless `path` ends in a format that can be written and its folder exists."""
    if path.suffix.lower() not in WRITABLE:
        raise PhotoError(f"{path} has no ending that names an image format: use one of {', '.join(WRITABLE)}.")
    if not path.parent.is_dir():
        raise PhotoError(f"The folder {path.parent} does not exist: make it first, or write somewhere else.")


def _encode_with_pillow(pixels: np.ndarray, ending: str, icc_profile: bytes | None) -> bytes:
    kind = {".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}.get(ending, "JPEG")
    options = {"PNG": {"compress_level": 3}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind, icc_profile=icc_profile, **options.get(kind, {}))
    return out.getvalue()


def _encode_with_opencv(pixels: np.ndarray, ending: str, icc_profile: bytes | None) -> bytes:
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[
        pixels.ndim if pixels.ndim == 2 else pixels.shape[2]
    ]
    encoded = cv2.imencode(ending, pixels if order is None else cv2.cvtColor(pixels, order))[1].tobytes()
    if icc_profile and ending == ".png":
        # OpenCV writes no profile, so its chunk goes in after the 33 bytes of signature and IHDR (PNG 3rd ed., 11.3.2.3).
        body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile)
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return encoded[:33] + chunk + encoded[33:]
    if icc_profile:
        return _tiff_with_profile(encoded, icc_profile)
    return encoded


def _tiff_with_profile(data: bytes, icc_profile: bytes) -> bytes:
    """A TIFF of one image with a profile, for OpenCV writes none (TIFF 6.0, section 2; tag 34675: ICC.1:2022, B.4).

    The list of tags, in ascending order, is written anew at the end of the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    data += bytes(len(data) % 2)  # everything lies at even places
    tags = [data[place : place + 12] for place in range(start + 2, start + 2 + 12 * count, 12)]
    tags.append(struct.pack(order + "HHII", 34675, 7, len(icc_profile), len(data)))
    tags.sort(key=lambda tag: struct.unpack_from(order + "H", tag))
    data += icc_profile + bytes(len(icc_profile) % 2)
    tag_list = struct.pack(order + "H", len(tags)) + b"".join(tags) + bytes(4)
    return data[:4] + struct.pack(order + "I", len(data)) + data[8:] + tag_list


def _write_in_one_step(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a full disk leaves an existing file as it was."""
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(part, 0o666 & ~umask)
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PhotoError(
            f"{path} cannot be written ({error.strerror}): check the folder's permissions and free space."
        ) from error
