"""What a photo's file says beside its pixels: camera, date, author and rights, place, size on paper."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

# Tags of TIFF and Exif (TIFF 6.0; Exif 2.32), and the directories that two of them point to.
ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, XMP, IPTC = 0x0112, 282, 283, 296, 700, 33723
IFD0, EXIF, GPS, INTEROPERABILITY = 0, 0x8769, 0x8825, 0xA005
COLOR_SPACE, WIDTH, HEIGHT = 0xA001, 0xA002, 0xA003
UNITS = {2: 1.0, 3: 2.54}  # inches in that, by RESOLUTION_UNIT
BYTE, SHORT, LONG, RATIONAL = 1, 3, 4, 5  # types of values
# The tags of the first directory that are about the photo. In TIFF, the others say how its pixels lie.
ABOUT_THE_PHOTO = {
    *(270, 271, 272, 305, 306, 315, 33432),  # description, maker, model, software, date, artist, copyright
    *(0x4746, 0x4749),  # rating
    *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords, subject as Windows has them
}
# What is not true any more of a photo that was turned upright and whose file holds no other picture.
OUTDATED_XMP = (
    (rb'(tiff:Orientation\s*=\s*")\d', rb"\g<1>1"),
    (rb"(<tiff:Orientation>)\d", rb"\g<1>1"),
    (rb"(?s)<(xmp|xap):Thumbnails>.*?</\1:Thumbnails>", b""),
    (rb'\s(xmpNote:HasExtendedXMP|hdrgm:Version)\s*=\s*"[^"]*"', b""),
)
IPTC_RESOURCE = 0x0404  # among those of Photoshop, as one of which JPEG and PNG hold IPTC
RAW_PROFILE = "Raw profile type "  # the keywords under which older programs keep Exif and IPTC in PNG
COMMENT = "Comment"  # the keyword for what JPEG and GIF have one of
LARGEST_IN_JPEG = 65400  # bytes; a segment holds 65533, its heading included


@dataclass(frozen=True)
class Metadata:
    """What every copy of a photo is to have, as far as its format has a place for it.

    exif: as it stands in files, from its TIFF header on; upright, and without a thumbnail. xmp: a packet. iptc: IIM records.
    texts: by keyword, as in PNG. dpi: pixels an inch, across and down. Empty or None where there is no such.
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None


NO_METADATA = Metadata()


def exif_of(picture: Image.Image) -> bytes:
    """The Exif of a file that Pillow has read, from its TIFF header on; b"" if it has none."""
    exif = picture.info.get("exif") or _raw_profile(picture, "exif")
    return exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b""


def read_directories(block: bytes) -> dict[int, Directory]:
    """The directories of an Exif block or of a TIFF file: IFD0, and EXIF and GPS where there are such.

    Raises whatever Pillow makes of a damaged one.
    """
    if not block:
        return {}
    head = block[: 16 if 43 in block[2:4] else 8]  # 43 is BigTIFF
    file = BytesIO(block)

    def read(offset: int, group: int | None = None) -> Directory:
        directory = Directory(head, group=group)
        file.seek(offset)
        directory.load(file)
        return directory

    first = read(Directory(head).next)
    found = {IFD0: first} | {pointer: read(first[pointer], pointer) for pointer in (EXIF, GPS) if pointer in first}
    if INTEROPERABILITY in values_of(found, EXIF):
        found[INTEROPERABILITY] = read(found[EXIF][INTEROPERABILITY], INTEROPERABILITY)
    return found


def values_of(directories: Mapping[int, Directory], which: int = IFD0) -> Mapping[int, Any]:
    """The values in one of the directories, by tag; empty if there is none."""
    return directories.get(which, {})


def orientation_of(directories: Mapping[int, Directory], xmp: bytes) -> int:
    """How the photo is stored, 1 to 8 as Exif 2.32 has it."""
    said = values_of(directories).get(ORIENTATION)
    if said is None:
        match = re.search(rb'tiff:Orientation(?:\s*=\s*"|>)(\d)', xmp)
        said = int(match[1]) if match else 1
    return said if said in range(1, 9) else 1


def is_adobe_rgb(directories: Mapping[int, Directory]) -> bool:
    """Whether a camera says so in the cameras' way, without a profile (DCF 2.0, 5.2)."""
    return values_of(directories, INTEROPERABILITY).get(1) == "R03"


def xmp_of(picture: Image.Image | None, directories: Mapping[int, Directory]) -> bytes:
    """The XMP packet of a file, or b""."""
    xmp = (picture.info.get("xmp") if picture else None) or values_of(directories).get(XMP)
    xmp = xmp[0] if isinstance(xmp, tuple) and len(xmp) == 1 else xmp  # of the type UNDEFINED, Pillow says
    return xmp if isinstance(xmp, bytes) else b""


def read_metadata(picture: Image.Image | None, directories: Mapping[int, Directory], size: tuple[int, int]) -> Metadata:
    """What is kept of a photo's metadata.

    picture: the file as Pillow has read it, or None. size: width and height, upright.
    """
    xmp = xmp_of(picture, directories)
    dpi = _valid_dpi(picture.info.get("dpi") if picture else None) or _dpi_of(values_of(directories))
    if dpi and orientation_of(directories, xmp) > 4:
        dpi = dpi[::-1]
    for pattern, new in OUTDATED_XMP:
        xmp = re.sub(pattern, new, xmp)
    exif = _write_exif(directories, size, dpi) if directories else b""
    return Metadata(exif, xmp, _iptc_of(picture, directories), _texts_of(picture), dpi)


def _dpi_of(first: Mapping) -> tuple[float, float] | None:
    unit = UNITS.get(first.get(RESOLUTION_UNIT, 2))
    return _valid_dpi([first.get(tag, 0) * unit for tag in (X_RESOLUTION, Y_RESOLUTION)]) if unit else None


def _valid_dpi(found) -> tuple[float, float] | None:
    with contextlib.suppress(TypeError, ValueError, ArithmeticError):
        across, down = map(float, found)
        if all(0.01 < value < 60000 for value in (across, down)):
            return across, down
    return None


def _iptc_of(picture: Image.Image | None, directories: Mapping[int, Directory]) -> bytes:
    iptc = values_of(directories).get(IPTC, b"")
    if isinstance(iptc, (tuple, int)):  # Photoshop says that they are whole numbers
        numbers = iptc if isinstance(iptc, tuple) else (iptc,)
        iptc = struct.pack(f"{'<' if directories[IFD0].prefix == b'II' else '>'}{len(numbers)}I", *numbers)
    if picture and not iptc:
        resources = picture.info.get("photoshop")
        iptc = resources.get(IPTC_RESOURCE, b"") if isinstance(resources, dict) else _raw_profile(picture, "iptc")
        if iptc.startswith(b"8BIM"):  # the resource in its wrapping
            size = struct.unpack_from(">I", iptc, 8)[0] if len(iptc) > 12 else 0
            iptc = iptc[12 : 12 + size]
    return iptc if isinstance(iptc, bytes) else b""


def _raw_profile(picture: Image.Image, kind: str) -> bytes:
    """What older programs wrote into a PNG's texts: a name, a length, and hexadecimal digits."""
    lines = str(picture.info.get(RAW_PROFILE + kind, "")).split("\n")
    with contextlib.suppress(ValueError):
        return bytes.fromhex("".join(lines[3:]))
    return b""


def _texts_of(picture: Image.Image | None) -> dict[str, str]:
    texts = {key: str(text) for key, text in getattr(picture, "text", {}).items()}
    comment = picture.info.get("comment") if picture else None
    if isinstance(comment, bytes) and comment.strip(b"\0 "):
        texts[COMMENT] = comment.decode("utf-8", "replace").rstrip("\0")
    return {key: text for key, text in texts.items() if not key.startswith((RAW_PROFILE, "XML:com.adobe.xmp"))}


# Exif


def _write_exif(directories: Mapping[int, Directory], size: tuple[int, int], dpi: tuple[float, float] | None) -> bytes:
    """An Exif block: what is about the photo, as it is when upright."""
    order = "<" if directories[IFD0].prefix == b"II" else ">"  # what a camera's maker has put in may depend on it
    first = copy_directory(directories[IFD0], order, ABOUT_THE_PHOTO)
    if dpi:
        first.tagtype |= {X_RESOLUTION: RATIONAL, Y_RESOLUTION: RATIONAL, RESOLUTION_UNIT: SHORT}
        first[X_RESOLUTION], first[Y_RESOLUTION], first[RESOLUTION_UNIT] = *dpi, 2
    others = {}
    for pointer in (EXIF, GPS):
        if pointer in directories:
            wanted = set(directories[pointer]) - {INTEROPERABILITY, COLOR_SPACE}  # the profile says which colors
            others[pointer] = copy_directory(directories[pointer], order, wanted)
            first.tagtype[pointer], first[pointer] = LONG, 0
    for tag, side in zip((WIDTH, HEIGHT), size):
        if tag in values_of(others, EXIF):
            others[EXIF].tagtype[tag] = LONG
            others[EXIF][tag] = side
    if not len(first):
        return b""
    behind, body = 8 + len(first.tobytes(8)), b""
    for pointer, directory in others.items():
        first[pointer] = behind + len(body)
        body += directory.tobytes(behind + len(body))
    return _head(order) + first.tobytes(8) + body


def copy_directory(source: Directory, order: str, tags: set[int] | None = None) -> Directory:
    """A directory that can be written, in the byte order "<" or ">": of those tags, or all, what can be read and written."""
    copy = Directory(_head(order), group=source.group)
    for tag in sorted(set(source) if tags is None else tags & set(source)):
        with contextlib.suppress(Exception):  # of a damaged value; it alone is lost
            value = source[tag]
            copy.tagtype[tag] = source.tagtype[tag]
            copy[tag] = value.encode("latin-1") if isinstance(value, str) else value  # in whatever encoding it is
            try:
                copy.tobytes()
            except Exception:
                del copy[tag]
    return copy


def _head(order: str) -> bytes:
    """The beginning of a TIFF file whose first directory follows at once."""
    return (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)


# Places for it in formats


def fit(metadata: Metadata, ending: str) -> tuple[Metadata, list[str]]:
    """What of the metadata a file with that ending can hold, and the names of what it cannot."""
    left_out = dict[str, object]()
    if ending in (".jpg", ".jpeg"):
        too_large = {"exif": metadata.exif, "xmp": metadata.xmp, "iptc": metadata.iptc}
        left_out |= {name: b"" for name, data in too_large.items() if len(data) > LARGEST_IN_JPEG}
        comment = {
            key: text for key, text in metadata.texts.items() if key == COMMENT and len(text) < LARGEST_IN_JPEG // 4
        }
        left_out |= {"texts": comment} if len(comment) < len(metadata.texts) else {}
    elif ending != ".png":
        left_out |= {"texts": {}} if metadata.texts else {}
        left_out |= {"iptc": b""} if metadata.iptc and ending == ".webp" else {}
    names = {"exif": "Exif data", "xmp": "XMP data", "iptc": "IPTC data", "texts": "comments"}
    return replace(metadata, **left_out), [names[name] for name in left_out]  # type: ignore[arg-type]


def photoshop_resource(iptc: bytes) -> bytes:
    """IPTC as JPEG and PNG hold it (Adobe Photoshop File Formats Specification, image resources)."""
    return b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)


def jpeg_with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """A JPEG file with Exif, XMP and IPTC behind its first segment, JFIF's, which must stay the first."""
    segments = b""
    for marker, name, body in (
        (b"\xff\xe1", b"Exif\0\0", metadata.exif),
        (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0", metadata.xmp),
        (b"\xff\xed", b"Photoshop 3.0\0", metadata.iptc and photoshop_resource(metadata.iptc)),
        (b"\xff\xfe", b"", metadata.texts.get(COMMENT, "").encode()),
    ):
        if body:
            segments += marker + struct.pack(">H", 2 + len(name) + len(body)) + name + body
    behind = 4 + struct.unpack_from(">H", data, 4)[0]
    return data[:behind] + segments + data[behind:]
