"""ICC color profiles: which colors the numbers of a file stand for, in sRGB, and back again.

Most photos have a profile of three curves and a matrix: its formulas are applied as they stand, at any depth and also to
colors beyond sRGB. littleCMS, which Pillow brings, does only 8 bits of RGB; it is asked for the profiles that are tables.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageCms

from ..errors import PhotoError
from .oklab import linear_to_srgb, srgb_to_linear
from .pixels import Photo, from_float, to_float
from .strips import work_in_strips

LEVELS = 65536  # of a curve: one for each number of 16 bits, so that these are looked up exactly
GRID = 52  # nodes of a table along each channel: five 8-bit levels apart, so that littleCMS is asked at whole ones
SAME = 1.5 / 255  # a profile that is nowhere farther from sRGB is sRGB: makers round differently, by one 8-bit level

# Linear sRGB to XYZ as profiles have it: IEC 61966-2-1, adapted from D65 to D50 by Bradford (ICC.1:2022, annex E).
SRGB_TO_XYZ = np.array(
    [
        [0.4360413, 0.3851129, 0.1430458],
        [0.2224845, 0.7169051, 0.0606104],
        [0.0139202, 0.0970672, 0.7139126],
    ]
)
PARAMETERS = (1, 3, 4, 5, 7)  # of each type of parametric curve (ICC.1:2022, 10.18)
SMALLEST_VOLUME = 1e-4  # determinant of a matrix that can be inverted; sRGB's is 0.2


@dataclass(frozen=True)
class MatrixProfile:
    """Linear sRGB = matrix · the light of red, green and blue, each by a curve of its number.

    curves: (3, LEVELS) float32, rising within 0…1: light of evenly spaced numbers from 0 to 1.
    inverse: (3, LEVELS) float32: numbers, 0…1, of light whose square root is evenly spaced, as finely as eyes see it.
    matrix: (3, 3) float32.
    """

    curves: np.ndarray
    inverse: np.ndarray
    matrix: np.ndarray


@dataclass(frozen=True)
class TableProfile:
    """Colors of evenly spaced numbers, between which it is linear.

    there: (GRID, GRID, GRID, 3) float32: sRGB-encoded, 0…1, by the profile's red, green and blue.
    back: the profile's numbers, 0…1, by red, green and blue of sRGB; None where the profile does not say.
    """

    there: np.ndarray
    back: np.ndarray | None


Profile = MatrixProfile | TableProfile


# What a profile says


@functools.lru_cache(maxsize=4)  # a photo's is wanted when it is read and when it is written
def read_profile(data: bytes, model: str = "RGB") -> Profile:
    """What an ICC profile says, for files of that color model, "RGB" or "GRAY".

    Gray is taken as red, green and blue that are equal.
    Raises ValueError with the end of a sentence, "is damaged" for example.

    Method: ICC.1:2022, sections 7 (header and tags), 8.3 and 8.4 (which tags count), 10.6 and 10.18 (curves), F.3 (matrix).
    """
    made_for = data[16:20].decode("latin-1").strip()
    if data[36:40] != b"acsp" or not made_for.isprintable():
        raise ValueError("is damaged")
    if made_for != model:
        raise ValueError(f"is made for {made_for} and not for {model}")
    try:
        tags = _read_tags(data)
        if model == "GRAY":
            return _matrix_profile([_gray_light(_read_curve(tags[b"kTRC"]), data[20:24])] * 3, np.eye(3))
        if b"A2B0" in tags or b"A2B1" in tags or data[20:24] != b"XYZ ":
            return _read_tables(data, tags)
        curves = [_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        to_xyz = np.stack([_read_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
    except (KeyError, struct.error, ValueError, OSError, ImageCms.PyCMSError) as error:
        raise ValueError("is damaged") from error
    if abs(np.linalg.det(to_xyz)) < SMALLEST_VOLUME:
        raise ValueError("is damaged")
    return _matrix_profile(curves, np.linalg.solve(SRGB_TO_XYZ, to_xyz))


def _matrix_profile(curves: list[np.ndarray], matrix: np.ndarray) -> MatrixProfile:
    even = np.linspace(0, 1, LEVELS)
    inverse = [np.interp(even**2, curve, even) for curve in curves]
    return MatrixProfile(*(np.array(part, np.float32) for part in (curves, inverse, matrix)))


def _read_tags(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", data, 128)
    where = [struct.unpack_from(">4sII", data, 132 + 12 * i) for i in range(min(count, len(data) // 12))]
    return {name: data[offset : offset + size] for name, offset, size in where}


def _read_xyz(tag: bytes) -> np.ndarray:
    return np.frombuffer(tag, ">i4", 3, 8) / 65536


def _read_curve(tag: bytes) -> np.ndarray:
    """Linear light of LEVELS evenly spaced numbers. Raises ValueError for a curve that does not rise."""
    x = np.linspace(0, 1, LEVELS)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        table = np.frombuffer(tag, ">u2", count, 12)
        if count == 0:
            y = x
        elif count == 1:
            y = x ** (table[0] / 256)
        else:
            y = np.interp(x, np.linspace(0, 1, count), table / 65535)
    elif tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        if kind >= len(PARAMETERS):
            raise ValueError("a parametric curve of an unknown type")
        y = _parametric_curve(x, kind, *map(float, np.frombuffer(tag, ">i4", PARAMETERS[kind], 12) / 65536))
    else:
        raise ValueError("neither a table nor a parametric curve")
    y = np.clip(y, 0, 1)
    if not (np.diff(y) >= 0).all() or y[-1] == y[0]:  # NaN as well
        raise ValueError("a curve that does not rise")
    return y


def _parametric_curve(x: np.ndarray, kind: int, g: float, a=1.0, b=0.0, c=0.0, d=0.0, e=0.0, f=0.0) -> np.ndarray:
    """(a·x + b)^g + e from x = d on, below it c·x + f: in the names of type 4, of which the others are cases."""
    if kind in (1, 2):
        c, d, e, f = 0.0, -b / a if a else 0.0, c, c
    with np.errstate(all="ignore"):  # where that is no number, the curve does not rise, which is checked
        return np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)


def _gray_light(curve: np.ndarray, space: bytes) -> np.ndarray:
    """Linear light of a gray curve, which is one of lightness where the profile speaks of Lab (CIE 15:2004)."""
    if space == b"XYZ ":
        return curve
    return np.where(curve > 0.08, ((100 * curve + 16) / 116) ** 3, curve / 9.033)


def _read_tables(data: bytes, tags: dict[bytes, bytes]) -> TableProfile:
    """Colors that littleCMS finds at the nodes of a grid, by the rules by which GIMP shows photos: relatively colorimetric,
    the black point adapted.
    """
    nodes = np.linspace(0, 255, GRID).astype(np.uint8)
    cube = Image.fromarray(np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), -1).reshape(GRID, -1, 3))
    profile, srgb = ImageCms.ImageCmsProfile(BytesIO(data)), ImageCms.createProfile("sRGB")
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION

    def convert(start, end) -> np.ndarray:
        found = ImageCms.profileToProfile(cube, start, end, intent, "RGB", flags=flags)
        return to_float(np.asarray(found)).reshape(GRID, GRID, GRID, 3)

    writable = b"B2A0" in tags or b"B2A1" in tags
    return TableProfile(convert(profile, srgb), convert(srgb, profile) if writable else None)


def is_srgb(profile: Profile) -> bool:
    """Whether its colors are those of sRGB, as far as 8 bits can tell."""
    levels = np.linspace(0, 1, 9, dtype=np.float32)
    colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(9, -1, 3)
    grays = np.repeat(np.linspace(0, 1, 256, dtype=np.float32), 3).reshape(1, -1, 3)
    return all(np.abs(_decode(profile, probe) - probe).max() <= SAME for probe in (colors, grays))


def is_writable(profile: Profile) -> bool:
    """Whether colors can be expressed in it. Some profiles of scanners only say what their numbers mean."""
    return not isinstance(profile, TableProfile) or profile.back is not None


# Profiles for what formats and cameras say in other ways


BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])  # ICC.1:2022, E
D50 = np.array([0.9642, 1.0, 0.8249])  # the white of all profiles (ICC.1:2022, 7.2.16)
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1, as a parametric curve of type 3
# Chromaticities of white, red, green and blue.
Chromaticities = tuple[float, float, float, float, float, float, float, float]
BT709: Chromaticities = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB: Chromaticities = (
    0.3127,
    0.3290,
    0.64,
    0.33,
    0.21,
    0.71,
    0.15,
    0.06,
)  # Adobe RGB (1998) Color Image Encoding
ADOBE_RGB_GAMMA = 563 / 256
# What the code points of video mean (ITU-T H.273, tables 2 and 3), in PNG's chunk cICP and AVIF's box colr. Pictures that
# name a camera's transfer function are shown by that of sRGB everywhere.
UNSPECIFIED, PQ, HLG = 2, 16, 18
VIDEO_PRIMARIES: dict[int, Chromaticities] = {
    1: BT709,
    5: (0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
VIDEO_CURVES = {4: 2.2, 5: 2.8, 8: 1.0} | dict.fromkeys((1, 6, 13, 14, 15), SRGB_CURVE)


def make_profile(chromaticities: Chromaticities | None, curve: float | tuple[float, ...]) -> bytes:
    """An ICC profile (ICC.1:2022) of a matrix and a curve; one for gray, without chromaticities.

    chromaticities: x and y of white, red, green and blue. curve: a gamma, or the numbers of a parametric curve of type 3.
    Raises ValueError if no matrix can be made of them.
    """
    parameters = curve if isinstance(curve, tuple) else (curve,)
    light = b"para" + bytes(4) + struct.pack(">HH", 3 if len(parameters) > 1 else 0, 0) + _fixed(parameters)
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(D50)}
    for name, words in ((b"desc", "made of what the file says of its colors"), (b"cprt", "public domain")):
        encoded = words.encode("utf-16-be")
        tags[name] = b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded
    if chromaticities is None:
        tags[b"kTRC"] = light
    else:
        columns = _to_xyz(chromaticities).T
        tags |= {name: b"XYZ " + bytes(4) + _fixed(xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), light)
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    model = b"RGB " if chromaticities else b"GRAY"
    head = struct.pack(">I4xI4s4s4s12x4s", start + len(body), 0x04300000, b"mntr", model, b"XYZ ", b"acsp")
    head += bytes(68 - len(head)) + _fixed(D50)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def _to_xyz(chromaticities: Chromaticities) -> np.ndarray:
    """(3, 3) from linear light to XYZ under D50, to which white is adapted by Bradford."""
    points = np.array(chromaticities, np.float64).reshape(4, 2)
    if not (points[:, 1] > 0).all():
        raise ValueError("chromaticities that are none")
    white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    columns = np.stack(primaries, axis=1)
    if abs(np.linalg.det(columns)) < SMALLEST_VOLUME:
        raise ValueError("chromaticities on one line")
    scale = (BRADFORD @ D50) / (BRADFORD @ white)
    return np.linalg.solve(BRADFORD, scale[:, None] * (BRADFORD @ (columns * np.linalg.solve(columns, white))))


def _fixed(numbers) -> bytes:
    """Fixed-point numbers of 16 bits before and after the point."""
    return np.rint(np.clip(numbers, -32768, 32767) * 65536).astype(">i4").tobytes()


def profile_of_video(primaries: int, transfer: int) -> bytes | None:
    """The profile of a picture that names its colors by code points of ITU-T H.273; None for sRGB.

    Raises ValueError with the end of a sentence if there is none: of HDR pictures, for example.
    """
    if transfer in (PQ, HLG):
        raise ValueError("is an HDR picture, whose brightness goes beyond that of a photo: export it as SDR first.")
    chromaticities = VIDEO_PRIMARIES.get(1 if primaries == UNSPECIFIED else primaries)
    curve = SRGB_CURVE if transfer == UNSPECIFIED else VIDEO_CURVES.get(transfer)
    if chromaticities is None or curve is None:
        raise ValueError("names colors that are not known here: convert it to sRGB first.")
    return None if (chromaticities, curve) == (BT709, SRGB_CURVE) else make_profile(chromaticities, curve)


# Pixels


def to_srgb(profile: Profile, pixels: np.ndarray) -> np.ndarray:
    """Pixels of a file -> the colors that they stand for.

    pixels: (H, W, 3) uint8, uint16 or float32 (0…1, beyond which it is cut off). Returns float32, sRGB-encoded; of
    matrix profiles beyond 0…1 for colors that sRGB cannot show, where its transfer function goes on, mirrored below 0.
    """
    out = np.empty(pixels.shape, np.float32)
    for rows, strip in work_in_strips(lambda rows: _decode(profile, pixels[rows]), *pixels.shape[:2]):
        out[rows] = strip
    return out


def pixels_to_store(photo: Photo) -> np.ndarray:
    """The photo's pixels in its own profile, as a file has them: (H, W, 3).

    Of the dtype of `photo.stored`, where there is such, else of `photo.rgb`. A pixel whose color is as it was read is as
    it was stored, to the bit.
    Raises PhotoError if there is a profile that cannot be used.
    """
    if not photo.icc_profile:
        return photo.rgb
    try:
        profile = read_profile(photo.icc_profile)
    except ValueError as error:
        raise PhotoError(f"The photo's color profile {error}: write it without one, which means sRGB.") from error
    if photo.stored is None and is_srgb(profile):
        return photo.rgb
    if not is_writable(profile):
        raise PhotoError("The photo's color profile can only be read: write it without one, which means sRGB.")
    out = np.empty_like(photo.rgb if photo.stored is None else photo.stored)

    def express(rows: slice) -> np.ndarray:
        rgb = to_float(photo.rgb[rows])
        if photo.stored is None:
            return from_float(_encode(profile, rgb), out.dtype)
        stored = photo.stored[rows]
        before = _decode(profile, stored)
        changed = np.logical_or.reduce([rgb[..., channel] != before[..., channel] for channel in range(3)])
        if not changed.any():
            return stored
        new, strip = _encode(profile, rgb[changed][None])[0], stored.copy()
        if isinstance(profile, TableProfile):  # what it lost of the color as it was, the new one shall not lose either
            new += to_float(stored[changed]) - _encode(profile, before[changed][None])[0]
        strip[changed] = from_float(new, out.dtype)
        return strip

    for rows, strip in work_in_strips(express, photo.height, photo.width):
        out[rows] = strip
    return out


def _decode(profile: Profile, pixels: np.ndarray) -> np.ndarray:
    """As `to_srgb`, of one strip."""
    if isinstance(profile, TableProfile):
        return _interpolate(profile.there, to_float(pixels))
    light = np.empty(pixels.shape, np.float32)
    for channel, curve in enumerate(profile.curves):
        numbers = pixels[..., channel]
        if numbers.dtype == np.float32:
            light[..., channel] = _look_up(curve, numbers)
        else:
            light[..., channel] = curve[:: (LEVELS - 1) // np.iinfo(numbers.dtype).max][numbers]
    linear = cv2.transform(light, profile.matrix)
    return np.copysign(linear_to_srgb(np.abs(linear)), linear)


def _encode(profile: Profile, rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32, sRGB-encoded -> the profile's numbers for that color, float32, 0…1 as far as it has any."""
    if isinstance(profile, TableProfile):
        assert profile.back is not None
        return _interpolate(profile.back, rgb)
    roots = np.sqrt(np.maximum(cv2.transform(srgb_to_linear(rgb), np.linalg.inv(profile.matrix)), 0))
    return np.stack([_look_up(inverse, roots[..., channel]) for channel, inverse in enumerate(profile.inverse)], axis=2)


def _look_up(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linearly between the entries: table (n,) float32; values (h, w) float32, cut off at 0 and 1, NaN as 0."""
    place = np.nan_to_num(np.clip(values, 0, 1)) * np.float32(len(table) - 1)
    low = np.minimum(place.astype(np.intp), len(table) - 2)
    below = table[low]
    return below + (place - low.astype(np.float32)) * (table[low + 1] - below)


def _interpolate(grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Trilinearly: grid (n, n, n, 3) float32; values (h, w, 3) float32, cut off at 0 and 1, NaN as 0. Returns float32."""
    n = len(grid)
    place = np.nan_to_num(np.clip(values, 0, 1)) * np.float32(n - 1)
    low = np.minimum(place.astype(np.intp), n - 2)
    between = place - low.astype(np.float32)
    flat, first = grid.reshape(-1, 3), (low[..., 0] * n + low[..., 1]) * n + low[..., 2]
    out = np.zeros(values.shape, np.float32)
    for red, green, blue in np.ndindex(2, 2, 2):
        weight = np.float32(1)
        for channel, upper in enumerate((red, green, blue)):
            weight = weight * (between[..., channel] if upper else 1 - between[..., channel])
        out += weight[..., None] * flat[first + (red * n + green) * n + blue]
    return out
