"""TIFF: the many ways in which its pixels may lie, and files of our own (TIFF 6.0 and its supplements).

tifffile knows the layouts, but of the compressions only some, without a package that is larger than all else here
together. libtiff, which Pillow brings, knows them, but not all layouts. So each does what it can: libtiff undoes
compressions, strip by strip, and tifffile reads what becomes of that.
"""

from __future__ import annotations

import logging
import struct
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, PREDICTOR

from ..errors import PhotoError
from .metadata import (
    ABOUT_THE_PHOTO,
    BYTE,
    EXIF,
    GPS,
    IFD0,
    IPTC,
    LONG,
    XMP,
    Metadata,
    copy_directory,
    read_directories,
)
from .pixels import FULL_SCALE, from_float, to_float

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MODELS = {PHOTOMETRIC.MINISWHITE: "GRAY", PHOTOMETRIC.MINISBLACK: "GRAY", PHOTOMETRIC.RGB: "RGB"}
MODELS[PHOTOMETRIC.SEPARATED] = "CMYK"
CHANNELS = {"GRAY": 1, "RGB": 3, "CMYK": 4}
TRANSPARENCY = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
RAW = (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW)
DNG_VERSION = 50706  # the tag that makes a TIFF a DNG
REDUCED, MASK = 1, 4  # bits of the tag NewSubfileType: no photo of its own
UNCOMPRESSED = COMPRESSION.NONE
BY_LIBTIFF = {COMPRESSION.LZW, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS, COMPRESSION.ZSTD}
BY_LIBTIFF |= {COMPRESSION.LZMA}
NUMBERS = {  # by sample format (1 whole, 3 floating-point, 4 undefined) and bits: what pixels of that kind become
    (1, 8): np.uint8,
    (1, 16): np.uint16,
    (1, 32): np.float32,
    (3, 16): np.float32,
    (3, 32): np.float32,
    (3, 64): np.float32,
    (4, 8): np.uint8,
    (4, 16): np.uint16,
}
ROWS_IN_STRIP = 64  # of the files that we write

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong is said in sentences of ours


class Tiff(NamedTuple):
    """What a TIFF holds, as it lies.

    pixels: (H, W) or (H, W, 3 or 4) uint8, uint16 or float32 by `model`, "GRAY", "RGB" or "CMYK"; None where Pillow is to
    read it, from that `page`. alpha: (H, W) of that dtype, or None. icc_profile: or None. notices: sentences for the user.
    """

    page: int
    pixels: np.ndarray | None
    alpha: np.ndarray | None
    icc_profile: bytes | None
    model: str
    notices: tuple[str, ...]


def is_tiff(data: bytes) -> bool:
    """Whether a file begins as TIFF does."""
    return data[:4] in STARTS


def read_tiff(path: Path, data: bytes, check_size) -> Tiff:
    """Read the first photo in a TIFF file.

    check_size: called with width and height before pixels are read; it may raise.
    Raises PhotoError for a camera's raw file and for kinds of pixels that cannot be read; for damaged files, whatever the
    libraries make of them.
    """
    with tifffile.TiffFile(BytesIO(data)) as file:
        pages = list(file.pages)
        if any(page.photometric in RAW for page in _with_inner(pages)) or DNG_VERSION in pages[0].tags:
            raise PhotoError(raw_file(path))
        photos = [number for number, page in enumerate(pages) if not page.subfiletype & (REDUCED | MASK)] or [0]
        page = pages[photos[0]]
        check_size(page.imagewidth, page.imagelength)
        notices = []
        if len(photos) > 1:
            notices.append(f"{path} has {len(photos)} pages, of which only the first is read.")
        kind = (page.sampleformat, page.bitspersample)
        model = MODELS.get(page.photometric)
        if model is None or kind not in NUMBERS or page.compression not in {UNCOMPRESSED, *BY_LIBTIFF}:
            if page.bitspersample > 8:
                raise PhotoError(
                    f"{path} has a pixel format that cannot be read: save it as 8- or 16-bit PNG or TIFF in RGB."
                )
            return Tiff(photos[0], None, None, None, "", tuple(notices))
        stored = _read_samples(data, page)
        profile = page.tags.valueof("InterColorProfile")
        is_white_zero, extra = page.photometric == PHOTOMETRIC.MINISWHITE, list(page.extrasamples)
    stored, beyond = _to_stored(stored, kind)
    if beyond:
        notices.append(f"{path} holds values beyond black or white, which are cut off.")
    channels = CHANNELS[model]
    if stored.shape[2] < channels:
        raise PhotoError(f"{path} has too few channels: save it as PNG or TIFF in RGB.")
    kept = list(range(channels, stored.shape[2]))
    extra += [EXTRASAMPLE.UNASSALPHA] * (len(kept) == 1 and not extra)  # some forget to say it
    means = dict(zip(kept, extra))
    transparent = next((number for number in kept if means.get(number) in TRANSPARENCY), None)
    if len(kept) > (transparent is not None):
        notices.append(f"{path} has further channels, saved selections perhaps, which are not read.")
    pixels, alpha = stored[..., :channels], None
    if is_white_zero:
        pixels = pixels.dtype.type(FULL_SCALE[pixels.dtype]) - pixels
    if transparent is not None:
        alpha = np.ascontiguousarray(stored[..., transparent])
        if means[transparent] == EXTRASAMPLE.ASSOCALPHA:
            pixels = _divide_by(alpha, pixels)
    pixels = np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels)
    return Tiff(photos[0], pixels, alpha, profile if isinstance(profile, bytes) else None, model, tuple(notices))


def raw_file(path: Path) -> str:
    """The sentence for a camera's raw file."""
    return (
        f"{path} is a camera's raw file: develop it first, in darktable, RawTherapee or GIMP, and give the TIFF, PNG or "
        "JPEG that you export there."
    )


def _with_inner(pages: list) -> list:
    """The pages, and those inside of them, in which raw files have their photo."""
    return [*pages, *(inner for page in pages if page.subifds for inner in page.pages)]


def _to_stored(samples: np.ndarray, kind: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Samples of any kind as uint8, uint16 or float32 within 0…1, and whether that cut something off."""
    if kind == (1, 32):
        return (samples / np.float64(2**32 - 1)).astype(np.float32), False
    if NUMBERS[kind] is not np.float32:
        return samples.astype(NUMBERS[kind], copy=False), False
    tolerated = 0.5 / 65535
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = bool((samples < -tolerated).any() or (samples > 1 + tolerated).any())
        stored = np.nan_to_num(np.clip(samples, 0, 1).astype(np.float32, copy=False))
    return stored, beyond


def _divide_by(alpha: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Undo that pixels were multiplied by their alpha; of wholly transparent ones, nothing is known."""
    cover = to_float(alpha)[..., None]
    color = np.divide(to_float(pixels), cover, out=np.zeros(pixels.shape, np.float32), where=cover > 0)
    return from_float(np.minimum(color, 1), pixels.dtype)


def _read_samples(data: bytes, page) -> np.ndarray:
    """(H, W, samples a pixel) of a page, as numbers of the file's own kind."""
    if page.compression != UNCOMPRESSED:
        with tifffile.TiffFile(BytesIO(_uncompress(data, page))) as file:
            return _read_samples(b"", file.pages[page.index])
    samples = page.asarray()
    if page.axes == "SYX":
        samples = np.moveaxis(samples, 0, 2)
    elif page.axes == "YX":
        samples = samples[..., None]
    elif page.axes != "YXS":
        raise ValueError(f"a page of {page.axes}")
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


def _uncompress(data: bytes, page) -> bytes:
    """The file with this page uncompressed: its strips or tiles anew at the end, and tags that say so."""
    file = BytesIO(data)
    file.seek(0, 2)
    rows, width, samples = page.chunks
    row = width * samples * page.bitspersample // 8
    planes = 1 if samples == page.samplesperpixel else page.samplesperpixel
    strips = len(page.dataoffsets) // planes
    offsets, sizes = [], []
    for number, (offset, size) in enumerate(zip(page.dataoffsets, page.databytecounts)):
        count = rows if page.is_tiled else min(rows, page.imagelength - number % strips * rows)
        content = (
            _decompress(data[offset : offset + size], page.compression, count * row) if size else bytes(count * row)
        )
        if page.predictor == PREDICTOR.FLOATINGPOINT:
            content = _undo_float_predictor(content, count, samples, page)
        elif page.predictor == PREDICTOR.HORIZONTAL:
            content = _undo_horizontal_predictor(content, count, samples, page)
        offsets.append(file.tell())
        sizes.append(len(content))
        file.write(content)
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+") as changed:
        tags = changed.pages[page.index].tags
        for names, value in (
            (("StripOffsets", "TileOffsets"), offsets),
            (("StripByteCounts", "TileByteCounts"), sizes),
        ):
            tag = next(tags[name] for name in names if name in tags)
            tag.overwrite(tuple(value), dtype=16 if changed.is_bigtiff else LONG)
        tags["Compression"].overwrite(int(UNCOMPRESSED))
        if page.predictor in (PREDICTOR.HORIZONTAL, PREDICTOR.FLOATINGPOINT):
            tags["Predictor"].overwrite(int(PREDICTOR.NONE))
    return file.getvalue()


def _decompress(content: bytes, compression: int, size: int) -> bytes:
    """So many bytes of one strip or tile, by libtiff: as a gray picture one pixel high."""
    picture = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
    for tag, value in (
        *((256, size), (257, 1), (258, 8), (259, int(compression)), (262, 1)),  # width, height, bits; black is zero
        *((273, 0), (277, 1), (278, 1), (279, len(content))),  # one strip, which Pillow puts behind the tags
    ):
        picture[tag] = value
    head = b"II*\0" + struct.pack("<I", 8) + picture.tobytes(8)
    return TiffImageFile(BytesIO(head + content)).tobytes()


def _undo_horizontal_predictor(content: bytes, rows: int, samples: int, page) -> bytes:
    """Of each row, differences between neighbors (TIFF 6.0, section 14)."""
    kind = np.dtype(f"{page.parent.byteorder}u{page.bitspersample // 8}")
    differences = np.frombuffer(content, kind).reshape(rows, -1, samples)
    return np.cumsum(differences, axis=1, dtype=kind.newbyteorder("=")).astype(kind).tobytes()


def _undo_float_predictor(content: bytes, rows: int, samples: int, page) -> bytes:
    """Adobe's: of each row, differences between bytes, the highest bytes of all values first (TIFF Technical Note 3)."""
    size = page.bitspersample // 8
    differences = np.frombuffer(content, np.uint8).reshape(rows, -1, samples)
    planes = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(rows, size, -1)
    order = slice(None, None, -1) if page.parent.byteorder == "<" else slice(None)
    return np.ascontiguousarray(planes[:, order].transpose(0, 2, 1)).tobytes()


def encode_tiff(pixels: np.ndarray, icc_profile: bytes | None, metadata: Metadata) -> bytes:
    """A TIFF file, uncompressed.

    pixels: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) uint8 or uint16: gray or RGB, the last of an even number alpha.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    directories = read_directories(metadata.exif)
    tags: list[tuple] = []
    if directories:
        first = copy_directory(directories[IFD0], "<", ABOUT_THE_PHOTO)
        tags += [(tag, first.tagtype[tag], None, value, True) for tag, value in sorted(first.items())]
    tags += [
        (tag, BYTE, None, content, True) for tag, content in ((XMP, metadata.xmp), (IPTC, metadata.iptc)) if content
    ]
    inner = {pointer: copy_directory(directories[pointer], "<") for pointer in (EXIF, GPS) if pointer in directories}
    # tifffile writes no tags that point to others, so these have the number below until it is known where to.
    tags += [(pointer - 1, LONG, 1, 0, True) for pointer in inner]
    file = BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        byteorder="<",
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=["unassalpha"] * (channels % 2 == 0),
        rowsperstrip=ROWS_IN_STRIP,
        iccprofile=icc_profile,
        resolution=metadata.dpi,
        resolutionunit="inch" if metadata.dpi else None,
        metadata=None,
        software=False,
        extratags=tags,
    )
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+") as written:
        for pointer, directory in inner.items():
            place = file.seek(0, 2)
            file.write(directory.tobytes(place))
            tag = written.pages[0].tags[pointer - 1].overwrite(place)
            file.seek(tag.offset)
            file.write(struct.pack("<H", pointer))
    return file.getvalue()
