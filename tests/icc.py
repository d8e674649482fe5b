"""Color spaces by their published numbers: as ICC profiles, as makers embed them, and as plain formulas to compare with."""

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])  # the white of all profiles (ICC.1:2022, 7.2.16)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # IEC 61966-2-1, as a parametric curve of type 3
GAMMA_18, GAMMA_22 = 461 / 256, 563 / 256  # as near as a profile can say it
BT709, D65 = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), (0.3127, 0.3290)
LAB_SCALE = np.array([100 * 65535 / 65280, 65535 / 256, 65535 / 256])  # of 16-bit Lab in tables (ICC.1:2022, 10.10)
LAB_ZERO = np.array([0, 32768 / 65535, 32768 / 65535])
# Chromaticities of red, green, blue and white, and the curve: a gamma, or the five numbers of a parametric curve.
SPACES = {
    "sRGB": (BT709, D65, SRGB_CURVE),
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), D65, SRGB_CURVE),  # SMPTE EG 432-1
    "Adobe RGB": (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), D65, GAMMA_22),  # Adobe RGB (1998)
    "ProPhoto": (((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)), (0.3457, 0.3585), GAMMA_18),  # ISO 22028-2
    "linear": (BT709, D65, 1.0),
    "gamma 1.8": (BT709, D65, GAMMA_18),
    "gamma 2.2": (BT709, D65, GAMMA_22),
}


def to_xyz(space):
    """(3, 3) from the space's linear light to XYZ under D50."""
    primaries, white, _ = SPACES[space]
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, white)]).T
    matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    scale = (BRADFORD @ D50) / (BRADFORD @ columns[:, 3])
    return np.linalg.solve(BRADFORD, scale[:, None] * (BRADFORD @ matrix))


def light_of(numbers, curve):
    if not isinstance(curve, tuple):
        return np.copysign(np.abs(numbers) ** curve, numbers)
    g, a, b, c, d = curve
    size = np.abs(numbers)
    return np.copysign(np.where(size >= d, (a * size + b) ** g, c * size), numbers)


def number_of(light, curve):
    if not isinstance(curve, tuple):
        return np.copysign(np.abs(light) ** (1 / curve), light)
    g, a, b, c, d = curve
    size = np.abs(light)
    return np.copysign(np.where(size >= c * d, (size ** (1 / g) - b) / a, size / c), light)


def convert(numbers, start, end):
    """(…, 3) float64 numbers of one space -> those of another, without limits."""
    light = light_of(np.asarray(numbers, np.float64), SPACES[start][2]) @ to_xyz(start).T
    return number_of(np.linalg.solve(to_xyz(end), light.reshape(-1, 3).T).T.reshape(light.shape), SPACES[end][2])


def icc_profile(space, curve_points=0):
    """The space as an ICC profile (ICC.1:2022) of matrix and curves; with curve_points, as tables of so many points."""
    curve = SPACES[space][2]
    if curve_points:
        points = np.rint(light_of(np.linspace(0, 1, curve_points), curve) * 65535).astype(">u2")
        tag = b"curv" + bytes(4) + struct.pack(">I", curve_points) + points.tobytes()
    elif isinstance(curve, tuple):
        tag = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + fixed(curve)
    else:
        tag = b"curv" + bytes(4) + struct.pack(">IH", 1, round(curve * 256))
    tags = {name: b"XYZ " + bytes(4) + fixed(xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), to_xyz(space).T)}
    return make_profile(tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), tag))


def gray_profile(gamma):
    """A profile for gray with that gamma."""
    return make_profile({b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))}, b"GRAY")


def table_profile(space, writable=True, nodes=33):
    """The space as a profile of tables from numbers to Lab, and from Lab to numbers if it is to be writable."""
    cube = np.stack(np.meshgrid(*[np.linspace(0, 1, nodes)] * 3, indexing="ij"), -1).reshape(-1, 3)
    xyz = light_of(cube, SPACES[space][2]) @ to_xyz(space).T
    tables = {b"A2B0": table(xyz_to_lab(xyz) / LAB_SCALE + LAB_ZERO, nodes)}
    if writable:
        light = np.linalg.solve(to_xyz(space), lab_to_xyz((cube - LAB_ZERO) * LAB_SCALE).T).T
        tables[b"B2A0"] = table(number_of(np.clip(light, 0, 1), SPACES[space][2]), nodes)
    return make_profile(tables, pcs=b"Lab ", kind=b"mntr" if writable else b"scnr")


def table(values, nodes):
    """lut16Type (ICC.1:2022, 10.10) of values 0…1 at the nodes of a cube."""
    straight = np.tile(np.array([0, 65535], ">u2"), 3).tobytes()
    head = b"mft2" + bytes(4) + struct.pack(">BBBx", 3, 3, nodes) + fixed(np.eye(3)) + struct.pack(">HH", 2, 2)
    return head + straight + np.rint(np.clip(values, 0, 1) * 65535).astype(">u2").tobytes() + straight


def xyz_to_lab(xyz):
    """CIE 15:2004, under D50."""
    share = xyz / D50
    x, y, z = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def lab_to_xyz(lab):
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    return D50 * np.where(roots > 6 / 29, roots**3, (116 * roots - 16) * 27 / 24389)


def make_profile(tags, model=b"RGB ", pcs=b"XYZ ", kind=b"mntr"):
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(D50), b"desc": text("test"), b"cprt": text("none"), **tags}
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    size = start + len(body)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x04300000, kind, model, pcs, b"acsp")
    head += bytes(68 - len(head)) + fixed(D50)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def text(words):
    encoded = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded


def fixed(numbers):
    """Fixed-point numbers of 16 bits before and after the point."""
    return np.rint(np.asarray(numbers) * 65536).astype(">i4").tobytes()
