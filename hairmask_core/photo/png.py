"""PNG's chunks: what they say of colors, and those that are added (PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from .metadata import Metadata, photoshop_resource
from .profiles import BT709, Chromaticities, make_profile, profile_of_video

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BEHIND_IHDR = 33  # bytes: the signature and the first chunk
GAMMA_OF_SRGB = 45455  # what gAMA says for it, in 1/100000
NEARLY = 0.05  # gammas that differ by less are taken for one, as libpng does
METER = 0.0254  # in inches: PNG counts pixels a meter


def bit_depth(data: bytes) -> int:
    """Bits a channel of a PNG file."""
    return data[24]


def read_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk that stands before the pixels."""
    place = len(SIGNATURE)
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IDAT":
        (size,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size


def profile_of_chunks(data: bytes, embedded: bytes | None) -> bytes | None:
    """The color profile of a PNG file, by what counts first (PNG, 13.13): cICP, its profile, sRGB, or gAMA and cHRM.

    Raises ValueError with the end of a sentence if what it says cannot be followed.
    """
    chunks = dict(read_chunks(data))
    gray = data[25] in (0, 4)
    if len(chunks.get(b"cICP", b"")) == 4:
        primaries, transfer, _, _ = chunks[b"cICP"]
        return profile_of_video(primaries, transfer) if not gray else None
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] if len(chunks.get(b"gAMA", b"")) == 4 else 0
    if embedded or b"sRGB" in chunks or not gamma:
        return embedded
    chromaticities: Chromaticities = BT709
    if len(chunks.get(b"cHRM", b"")) == 32:
        chromaticities = tuple(value / 100000 for value in struct.unpack(">8I", chunks[b"cHRM"]))
    ordinary = all(abs(one - other) < 0.005 for one, other in zip(chromaticities, BT709))
    if (ordinary or gray) and abs(gamma / GAMMA_OF_SRGB - 1) < NEARLY:
        return None
    try:
        return make_profile(None if gray else chromaticities, 100000 / gamma)
    except ValueError:
        return None  # nonsense, which every viewer passes over


def with_chunks(data: bytes, icc_profile: bytes | None, metadata: Metadata) -> bytes:
    """A PNG file with a color profile and metadata, which neither Pillow nor OpenCV would write at every depth."""
    added = b""
    if icc_profile:
        added += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    if metadata.dpi:
        added += _chunk(b"pHYs", struct.pack(">IIB", *(round(dpi / METER) for dpi in metadata.dpi), 1))
    if metadata.exif:
        added += _chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        added += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.iptc:  # in no standard, but what ImageMagick and exiv2 do
        resource = photoshop_resource(metadata.iptc)
        digits = resource.hex()
        lines = "\n".join(digits[place : place + 72] for place in range(0, len(digits), 72))
        text = f"\niptc\n{len(resource):8}\n{lines}\n"
        added += _chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text.encode()))
    for keyword, text in metadata.texts.items():
        added += _chunk(b"iTXt", keyword.encode("latin-1", "replace")[:79] + b"\0\0\0\0\0" + text.encode())
    return data[:BEHIND_IHDR] + added + data[BEHIND_IHDR:]


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
