"""Photos from files and back: formats, bit depths, orientation, color profiles, metadata."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from ..errors import PhotoError
from .metadata import (
    NO_METADATA,
    Metadata,
    exif_of,
    fit,
    is_adobe_rgb,
    jpeg_with_metadata,
    orientation_of,
    read_directories,
    read_metadata,
    xmp_of,
)
from .pixels import FULL_SCALE, Photo, Stored, check_map, check_rgb, from_float, to_float
from .png import bit_depth, profile_of_chunks, with_chunks
from .profiles import (
    ADOBE_RGB,
    ADOBE_RGB_GAMMA,
    is_srgb,
    is_writable,
    make_profile,
    pixels_to_store,
    profile_of_video,
    read_profile,
    to_srgb,
)
from .tiff import encode_tiff, is_tiff, raw_file, read_tiff

READABLE = "JPEG, PNG, TIFF, WebP, AVIF, JPEG 2000, BMP, GIF, PNM or TGA"  # as users are told
PILLOWS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "BMP", "GIF", "PPM", "TGA")  # its names of them
WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")  # endings of the formats that can be written
DEEP_FORMATS = (".png", ".tif", ".tiff")  # those of them that hold 16 bits
# Cameras' raw files, of which many pretend to be TIFF; and others that begin in a way of their own.
RAW_ENDINGS = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"),
    *(".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
RAW_STARTS = rb"II\*\0.{4}CR|IIR[OS]|MMOR|IIU\0|.{6}HEAPCCDR|FUJIFILMCCD-RAW|FOVb|\0MRM|.{4}ftypcrx "
OTHER_STARTS = {
    "HEIC": rb".{4}ftyp(hei[cxms]|hev[cx])",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "Radiance HDR": rb"#\?(RADIANCE|RGBE)",
    "Photoshop": rb"8BPS",
    "GIMP": rb"gimp xcf",
    "PDF": rb"%PDF",
    "PostScript": rb"%!PS",
    "SVG": rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg|<svg)",
}
ALWAYS_ALLOWED = 178_956_970  # pixels, as in Pillow
MOST_PIXELS = 1 << 30  # of one picture in OpenCV
BYTES_A_PIXEL = 64  # memory that recoloring takes at its peak

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


def read_photo(path: str | os.PathLike) -> Photo:
    """Decode a photo, upright, its colors in sRGB.

    Parameters
    ----------
    path : str or os.PathLike
        A JPEG, PNG, TIFF, WebP, AVIF, JPEG 2000, BMP, GIF, PNM or TGA file. Of several pages or frames, the first is read.

    Returns
    -------
    Photo
        `rgb` is (H, W, 3): uint8 of 8-bit files, uint16 of 16-bit ones, float32 of floating-point TIFF, and of
        every file with an RGB profile other than sRGB, whose own pixels are then `stored`. Gray and palette images
        become RGB; gray and CMYK become sRGB through the embedded profile where there is one; CMYK is read at 8 bits.
        A profile that cannot be used counts as none, and `notices` says so, as it says of all that is not read.

    Raises
    ------
    PhotoError
        With a sentence for the user, for a file that is missing, empty, not an image, cut off, a camera's raw file, an
        HDR picture, or larger than memory allows.

    References
    ----------
    Orientation: Exif 2.32, tag 0x0112. Profiles: ICC.1:2022; PNG, third edition, 13.13.

    Examples
    --------
    >>> photo = read_photo("portrait.jpg")
    >>> photo.rgb.shape, str(photo.rgb.dtype)
    ((512, 512, 3), 'uint8')
    """
    pixels, alpha, icc_profile, model, notices, metadata = read_stored(path)
    if not icc_profile:
        return Photo(pixels, alpha, notices=notices, metadata=metadata)
    try:
        profile = read_profile(icc_profile, model)
    except ValueError as error:
        notice = f"The color profile in {path} {error}: its colors are taken for sRGB."
        return Photo(pixels, alpha, notices=(*notices, notice), metadata=metadata)
    if is_srgb(profile):
        return Photo(pixels, alpha, icc_profile if model == "RGB" else None, notices=notices, metadata=metadata)
    rgb = to_srgb(profile, pixels)
    if model == "GRAY":  # no profile for gray fits what becomes of it
        return Photo(from_float(rgb, pixels.dtype), alpha, notices=notices, metadata=metadata)
    if not is_writable(profile):
        notice = f"The color profile in {path} can only be read: what is written will be sRGB."
        return Photo(from_float(rgb, pixels.dtype), alpha, notices=(*notices, notice), metadata=metadata)
    return Photo(rgb, None if alpha is None else to_float(alpha), icc_profile, pixels, notices, metadata)


def read_stored(path: str | os.PathLike) -> Stored:
    """The numbers of an image file as they are, whatever colors they mean: of masks, for example.

    Raises PhotoError as `read_photo` does.
    """
    path = Path(path)
    data = _read_file(path)
    _refuse_foreign_formats(path, data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what users should know is said in sentences
            return _decode_tiff(path, data) if is_tiff(data) else _decode(path, data)
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path} is not an image that can be read: use {READABLE}.") from error
    except Exception as error:  # every decoder has exceptions of its own; all mean the same to the user
        raise PhotoError(
            f"{path} is damaged or cut off and cannot be decoded: copy it again or re-export it."
        ) from error


def _read_file(path: Path) -> bytes:
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
    return data


def _refuse_foreign_formats(path: Path, data: bytes) -> None:
    start = data[:512]
    if path.suffix.lower() in RAW_ENDINGS or re.match(RAW_STARTS, start, re.DOTALL):
        raise PhotoError(raw_file(path))
    for name, pattern in OTHER_STARTS.items():
        if re.match(pattern, start, re.DOTALL):
            raise PhotoError(
                f"{path} is a {name} file, which cannot be read here: open it in GIMP and recolor it there, or export "
                "it as PNG, TIFF or JPEG."
            )


def _check_size(path: Path, width: int, height: int) -> None:
    """Raise PhotoError for a photo that is too large for the memory that is free."""
    if width * height <= ALWAYS_ALLOWED:
        return
    import psutil  # not above: hardly any photo is that large, and it takes a moment

    allowed = max(ALWAYS_ALLOWED, min(MOST_PIXELS, psutil.virtual_memory().available // BYTES_A_PIXEL))
    if width * height > allowed:
        raise PhotoError(
            f"{path} has {width * height / 1e6:.0f} megapixels, and the free memory allows {allowed / 1e6:.0f}: close "
            "other programs or scale it down first."
        )


_pillows_limit = threading.Lock()


@contextlib.contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Let Pillow open large pictures, too: `_check_size` decides, before anything is decoded."""
    with _pillows_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _open(path: Path, data: bytes) -> ImageFile.ImageFile:
    with _without_pillows_limit():
        picture = Image.open(BytesIO(data), formats=PILLOWS)
    _check_size(path, *picture.size)
    return picture


def _decode(path: Path, data: bytes) -> Stored:
    """Every format but TIFF."""
    picture, notices = _open(path, data), list[str]()
    deep = _decode_deep(picture, data)
    count = getattr(picture, "n_frames", 1)
    if count > 1 and picture.format != "MPO":  # whose others are previews and the like
        notices.append(f"{path} has {count} frames, of which only the first is read.")
    picture.load()
    if deep is None:
        stored = _from_pillow(path, picture)
    else:
        stored = Stored(*deep, picture.info.get("icc_profile"), "GRAY" if deep[0].ndim == 2 else "RGB")
    try:
        if picture.format == "PNG":
            stored = stored._replace(icc_profile=profile_of_chunks(data, stored.icc_profile))
        elif picture.format == "AVIF" and not stored.icc_profile:
            colors = re.search(rb"colrnclx\0(.)\0(.)", data[:100_000], re.DOTALL)
            stored = stored._replace(icc_profile=colors and profile_of_video(colors[1][0], colors[2][0]))
    except ValueError as error:
        raise PhotoError(f"{path} {error}") from error
    return _finish(path, stored._replace(notices=(*notices, *stored.notices)), picture, exif_of(picture))


def _decode_tiff(path: Path, data: bytes) -> Stored:
    tiff = read_tiff(path, data, lambda width, height: _check_size(path, width, height))
    if tiff.pixels is None:
        picture = _open(path, data)
        picture.seek(tiff.page)
        stored = _from_pillow(path, picture)
    elif tiff.model == "CMYK":
        inks = Image.fromarray(from_float(to_float(tiff.pixels), np.uint8), "CMYK")
        if tiff.icc_profile:
            inks.info["icc_profile"] = tiff.icc_profile
        stored = _from_pillow(path, inks)
        if tiff.alpha is not None:
            stored = stored._replace(alpha=from_float(to_float(tiff.alpha), np.uint8))
    else:
        stored = Stored(tiff.pixels, tiff.alpha, tiff.icc_profile, tiff.model)
    return _finish(path, stored._replace(notices=(*tiff.notices, *stored.notices)), None, data)


def _finish(path: Path, stored: Stored, picture: Image.Image | None, block: bytes) -> Stored:
    """The photo upright and in three channels, with its metadata. block: its Exif, or the whole of a TIFF file."""
    pixels, alpha, icc_profile, model, notices, metadata = stored
    try:
        directories = read_directories(block)
        orientation = orientation_of(directories, xmp_of(picture, directories))
        turn = ORIENTATIONS.get(orientation, lambda a: a)
        pixels, alpha = turn(pixels), None if alpha is None else np.ascontiguousarray(turn(alpha))
        metadata = read_metadata(picture, directories, (pixels.shape[1], pixels.shape[0]))
        if icc_profile is None and model == "RGB" and is_adobe_rgb(directories):
            icc_profile = make_profile(ADOBE_RGB, ADOBE_RGB_GAMMA)
        if b"hdrgm:" in xmp_of(picture, directories):
            notices += (f"{path} has an HDR gain map, which is not kept.",)
    except Exception:  # every kind of damage has its own; the photo can do without
        notices += (f"The Exif data in {path} are damaged and not kept.",)
    if pixels.ndim == 2:
        pixels = np.dstack([pixels] * 3)
    return Stored(np.ascontiguousarray(pixels), alpha, icc_profile, model, notices, metadata)


def _decode_deep(picture: ImageFile.ImageFile, data: bytes) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Color, (H, W) or (H, W, 3) uint16, and alpha of a file of more than 8 bits a channel, which Pillow would cut down to
    8; None for others.
    """
    if picture.format == "PNG":
        full = FULL_SCALE[np.dtype(np.uint16)] if bit_depth(data) == 16 else 0
    elif picture.format == "JPEG2000":
        place = (
            data.find(b"\xff\x4f\xff\x51") + 42
        )  # of the bits less one, in the first marker (ISO/IEC 15444-1, A.5.1)
        bits = (data[place] & 127) + 1
        full = 2**bits - 1 if 8 < bits <= 16 else 0
    elif picture.format == "PPM" and isinstance(picture.tile[0][3], tuple):
        full = picture.tile[0][3][-1]
        full = full if full > 255 and picture.mode in ("RGB", "I") else 0
    else:
        full = FULL_SCALE[np.dtype(np.uint16)] if picture.mode.startswith("I") else 0
    if not full:
        return None
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise ValueError("a picture of 16 bits that OpenCV cannot read")
    if full != FULL_SCALE[stored.dtype]:
        stored = from_float(stored * np.float32(1 / full), np.uint16)
    if stored.ndim == 2:
        return stored, None
    alpha = np.ascontiguousarray(stored[..., -1]) if stored.shape[2] in (2, 4) else None
    return np.ascontiguousarray(stored[..., 2::-1] if stored.shape[2] > 2 else stored[..., 0]), alpha


def _from_pillow(path: Path, picture: Image.Image) -> Stored:
    icc_profile, notices = picture.info.get("icc_profile"), list[str]()
    model = "GRAY" if picture.mode in ("1", "L", "LA", "La", "F") else "RGB"
    has_alpha = picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info
    if picture.mode in ("CMYK", "LAB", "HSV", "YCbCr"):  # their profiles do not fit the RGB that they become
        if picture.mode == "CMYK" and icc_profile:
            try:
                picture = _cmyk_to_srgb(picture, icc_profile)
            except (ImageCms.PyCMSError, OSError):  # the plain conversion below is what any viewer would show
                notices.append(f"The color profile in {path} is damaged or not for CMYK: its colors are a guess.")
        icc_profile = None
    if picture.mode == "F":
        values = np.nan_to_num(np.clip(np.asarray(picture), 0, 1))
        return Stored(values, None, icc_profile, model)
    pixels = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
    alpha = np.ascontiguousarray(pixels[..., 3]) if has_alpha else None
    return Stored(np.ascontiguousarray(pixels[..., :3]), alpha, icc_profile, model, tuple(notices))


def _cmyk_to_srgb(picture: Image.Image, icc_profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(BytesIO(icc_profile))
    converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted  # None is only for a conversion in place
    return converted


def write_photo(path: str | os.PathLike, photo: Photo) -> tuple[str, ...]:
    """Write a photo with its alpha and its metadata, in its color profile.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its ending names the format: .png, .jpg, .jpeg, .tif, .tiff or .webp. One that exists is replaced in
        one step; of a symbolic link, the file that it leads to.
    photo : Photo
        Pixels whose color is as it was read are written as they were stored, the others in the profile of the photo.
        16-bit photos stay so in PNG and TIFF and become 8-bit ones in the others; float32 is written as 16 bits, if it
        was not read from a file of less. JPEG has no alpha: it gets white behind.

    Returns
    -------
    tuple of str
        Sentences for the user on what the format has no place for.

    Raises
    ------
    PhotoError
        If the ending is unknown, or the file cannot be written or is read-only, or the format holds none so large, or the
        profile cannot be used.

    Examples
    --------
    >>> write_photo("copy.png", read_photo("portrait.jpg"))
    ()
    """
    pixels = pixels_to_store(photo)
    alpha = None if photo.alpha is None else from_float(to_float(photo.alpha), pixels.dtype)
    return write_image(path, pixels, alpha, photo.icc_profile, photo.metadata)


def write_image(
    path: str | os.PathLike,
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    icc_profile: bytes | None = None,
    metadata: Metadata = NO_METADATA,
) -> tuple[str, ...]:
    """Write an image; the file's ending names the format. An existing file is replaced in one step.

    Returns sentences for the user on what the format has no place for.

    pixels: (H, W, 3) RGB or (H, W) gray; uint8 or uint16; float32 (0…1) is written as 16 bits.
    alpha: (H, W) of the same dtype, or None. JPEG has no alpha: it gets white behind.
    icc_profile: what the pixels mean, or None; they are not changed for it. metadata: what else is written.
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
    metadata, left_out = fit(metadata, ending)
    try:
        encoded = _encode(pixels, ending, icc_profile, metadata)
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path} cannot be written in this format ({error}): name it .png instead.") from error
    _write_in_one_step(path, encoded)
    if not left_out:
        return ()
    return (f"{path}: this format has no place for the photo's {' and '.join(left_out)}, which are left out.",)


def check_writable_name(path: Path) -> None:
    """Raise PhotoError unless `path` ends in a format that can be written, and can be written: its folder exists, and it
    is no read-only file.
    """
    if path.suffix.lower() not in WRITABLE:
        raise PhotoError(f"{path} has no ending that names an image format: use one of {', '.join(WRITABLE)}.")
    try:
        target = _target(path)
        if not target.parent.is_dir():
            raise PhotoError(f"The folder {target.parent} does not exist: make it first, or write somewhere else.")
        if os.path.lexists(target):
            if not target.is_file():
                raise PhotoError(f"{path} is there and is no regular file: write to another name.")
            if not (os.access(target, os.W_OK) and target.stat().st_mode & 0o222):
                raise PhotoError(f"{path} is read-only: make it writable, or write to another name.")
    except OSError as error:
        raise PhotoError(f"{path} cannot be written ({error.strerror}): write to another name.") from error


def _target(path: Path) -> Path:
    """The file itself, where the path is a symbolic link to it."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _encode(pixels: np.ndarray, ending: str, icc_profile: bytes | None, metadata: Metadata) -> bytes:
    """pixels: (H, W), (H, W, 3) or, with alpha, (H, W, 2 or 4), uint8 or, in DEEP_FORMATS, uint16."""
    if ending in (".tif", ".tiff"):
        return encode_tiff(pixels, icc_profile, metadata)
    out = BytesIO()
    if ending == ".png":
        if pixels.dtype == np.uint8:
            Image.fromarray(pixels).save(out, "PNG", compress_level=3)
        else:  # OpenCV has no gray with alpha
            deep = pixels if pixels.ndim == 2 or pixels.shape[2] > 2 else pixels[..., [0, 0, 0, 1]]
            order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
            deep = deep if deep.ndim == 2 else cv2.cvtColor(deep, order[deep.shape[2]])
            out.write(cv2.imencode(".png", deep)[1].tobytes())
        return with_chunks(out.getvalue(), icc_profile, metadata)
    picture = Image.fromarray(pixels)
    if ending == ".webp":
        exif = b"Exif\0\0" + metadata.exif if metadata.exif else b""
        picture.save(out, "WEBP", quality=95, icc_profile=icc_profile, exif=exif, xmp=metadata.xmp)
        return out.getvalue()
    dpi = tuple(map(round, metadata.dpi)) if metadata.dpi else (0, 0)
    picture.save(out, "JPEG", quality=95, subsampling=0, icc_profile=icc_profile, dpi=dpi)
    return jpeg_with_metadata(out.getvalue(), metadata)


def _write_in_one_step(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a full disk leaves an existing file as it was."""
    try:
        target = _target(path)
        part = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as file:
                file.write(data)
            if target.exists():
                with contextlib.suppress(OSError):  # some file systems know no permissions
                    part.chmod(target.stat().st_mode)
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PhotoError(
            f"{path} cannot be written ({error.strerror}): check the folder's permissions and free space."
        ) from error
