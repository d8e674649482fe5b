"""The loops over pixels, compiled: what `transform` does to each.

Compiled by Numba when first called, and kept on disk. The inner loops become vector instructions as long as all
numbers in them are of 32 bits, hence the many f4, and they touch few arrays. Importing this takes half a second.

benchmarks/kernel_constants.py derives the constants of the roots and measures the roots' errors.
"""

import numpy as np

from ..photo.base import CHANNELS, EDGE, LEAST_REST
from ..photo.compiled import compiled
from ..photo.oklab import LAB_TO_LMS, LMS_TO_LAB, LMS_TO_RGB, RGB_TO_LMS, TOE
from .gamut import LINEAR_RANGE

VARIATION_LIMIT = 0.08  # OKLab chroma at which the color's variation is compressed to half
# Lightness at which a level or two of 8 bits are as much of OKLab's a and b as hair varies by; they are more, the darker.
CRUSHED = 0.05
MOST_COLORFUL = 10.0  # lest infinity be divided by infinity
DETAIL_GAIN = (0.6, 2.0)  # of single strands: less flattens hair that is darkened, more makes it wiry
LEAST_ROOM = 1e-3  # of lightness to black and white, lest it be divided by 0
BLOCK = 1024  # pixels that go through the formulas together: few enough for a core's first cache
TINY = 1e-12  # of linear light; roots are not sought of less
f4 = np.float32  # the only type in the inner loops

# x^(-1/3) and x^(-1/5) are guessed as this number less a third, or a fifth, of the bits of x: (1 + 1/k) 127 2^23, which
# is right for powers of two, less 600000 and 500000, which divide the errors between both signs.
CUBE_ROOT_START, FIFTH_ROOT_START = 1419870954, 1277923859
# What makes up for the guess y: coefficients of h, h², … in (1 - h)^(-1/3) and (1 - h)^(-3/5), h = 1 - x yᵏ; before them is 1.
CUBE_ROOT_SERIES = tuple(map(f4, (0.33332929, 0.22218178, 0.17442001, 0.15012501)))
FIFTH_ROOT_SERIES = tuple(map(f4, (0.59999883, 0.47989002, 0.41619521, 0.3863481, 0.34329543)))


# The matrices of OKLab row by row: compiled code takes constants from tuples.
LMS, LAB = tuple(map(f4, RGB_TO_LMS.ravel())), tuple(map(f4, LMS_TO_LAB.ravel()))
LAB_LMS, LMS_RGB = tuple(map(f4, LAB_TO_LMS.ravel())), tuple(map(f4, LMS_TO_RGB.ravel()))
LOW, HIGH = map(f4, LINEAR_RANGE)  # of linear light, where it is white
TOE_1, TOE_2, TOE_3 = map(f4, TOE)


@compiled
def between(x, low, high):
    """x within low … high; low if it is NaN. What tables are entered with must pass here: nothing else looks."""
    x = x if x > low else low
    return x if x < high else high


@compiled
def cube_root(x):
    """Relative error below 6e-7, for |x| from TINY on.

    y = x^(-1/3) is guessed by dividing the exponent; h says how far y is off, and a polynomial in h, fitted to
    (1 - h)^(-1/3) over the h that occur, makes up for it. No division, no table.
    """
    size = max(abs(x), f4(TINY))
    y = np.int32(np.int32(CUBE_ROOT_START) - np.int32(f4(np.float32(size).view(np.int32)) * f4(1 / 3))).view(np.float32)
    h = f4(1) - size * (y * y * y)
    c = CUBE_ROOT_SERIES
    y *= f4(1) + h * (c[0] + h * (c[1] + h * (c[2] + h * c[3])))
    return x * (y * y)


@compiled
def linear_from_encoded(x):
    """sRGB transfer function, inverse (IEC 61966-2-1), mirrored for negative values.

    t^2.4 is t³ t^(-3/5), and y = t^(-1/5) is found as in `cube_root`. Relative error below 1e-6.
    """
    size = abs(x)
    t = (size + f4(0.055)) * f4(1 / 1.055)
    y = np.int32(np.int32(FIFTH_ROOT_START) - np.int32(f4(np.float32(t).view(np.int32)) * f4(1 / 5))).view(np.float32)
    h = f4(1) - t * (y * y * y * y * y)
    c = FIFTH_ROOT_SERIES
    power = f4(1) + h * (c[0] + h * (c[1] + h * (c[2] + h * (c[3] + h * c[4]))))
    t *= y
    curved = t * t * t * power
    linear = size * f4(1 / 12.92)
    found = linear if size <= f4(0.04045) else curved
    return found if x >= f4(0) else -found


@compiled
def interpolate_row(values, y, row):
    """Row y of a map (h, n), linearly between its rows, into row (n,)."""
    y = min(max(y, 0.0), float(len(values) - 1))
    above = int(y)
    first, second, part = values[above], values[min(above + 1, len(values) - 1)], f4(y - above)
    for i in range(row.size):
        row[i] = first[i] + part * (second[i] - first[i])


@compiled
def interpolate_base(row, across, left, start, base):
    """The base of the pixels of one row from column `start` on, by bilinear interpolation.

    row: (w · CHANNELS,), of the map, whose columns pixel x finds at across · x + left. base: CHANNELS arrays (n,),
    results; each contiguous, or the loops are no vector instructions.
    """
    slope, offset, signal, around_a, around_b = base
    last = np.int32(row.size // CHANNELS - 1)
    if across == 1.0:  # as fine as the photo
        first = np.int32(left) + np.int32(start)
        for x in range(slope.size):
            i = np.int32(CHANNELS) * min(first + np.int32(x), last)
            slope[x], offset[x], signal[x], around_a[x], around_b[x] = (
                row[i], row[i + 1], row[i + 2], row[i + 3], row[i + 4],
            )  # fmt: skip
        return
    step, begin = f4(across), f4(across * start + left)
    for x in range(slope.size):
        place = between(step * f4(x) + begin, f4(0), f4(last))
        i = np.int32(place)
        part = place - f4(i)
        j = np.int32(CHANNELS) * min(i + np.int32(1), last)
        i *= np.int32(CHANNELS)
        slope[x] = row[i] + part * (row[j] - row[i])
        offset[x] = row[i + 1] + part * (row[j + 1] - row[i + 1])
        signal[x] = row[i + 2] + part * (row[j + 2] - row[i + 2])
        around_a[x] = row[i + 3] + part * (row[j + 3] - row[i + 3])
        around_b[x] = row[i + 4] + part * (row[j + 4] - row[i + 4])


@compiled
def mean_usual(usual, x, variance):
    """The mean color, a and b, that hair usually has whose lightness varies so much around x; see `ToneTransform`.

    The mean of a cubic, whose second derivative tells by how much it is off where lightness varies.
    """
    x = between(x, usual[0, 0], usual[1, 0]) - f4(0.5) * (usual[0, 0] + usual[1, 0])
    a = usual[0, 1] + x * (usual[0, 2] + x * (usual[0, 3] + x * usual[0, 4]))
    b = usual[1, 1] + x * (usual[1, 2] + x * (usual[1, 3] + x * usual[1, 4]))
    x *= f4(3)
    return a + variance * (usual[0, 3] + x * usual[0, 4]), b + variance * (usual[1, 3] + x * usual[1, 4])


@compiled
def transform_block(red, green, blue, around, curves, usual, variation, drawn):
    """Transform colors in place.

    red, green, blue: (n,) float32, linear light, as if it were white; see `drawn_range`. around: their base, CHANNELS
    arrays (n,).
    """
    slope, offset, signal, around_a, around_b = around
    lean, fine, along_a, along_b = variation[0], variation[1], variation[2], variation[3]
    across_aa, across_ab, across_bb = variation[4], variation[5], variation[6]
    low, high, bottom, top = drawn
    count, last = red.size, curves.shape[1] - 1
    lightness, base, gain = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    a, b, colorful = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(count):
        r, g, bl = red[i], green[i], blue[i]
        long = cube_root(LMS[0] * r + LMS[1] * g + LMS[2] * bl)
        medium = cube_root(LMS[3] * r + LMS[4] * g + LMS[5] * bl)
        short = cube_root(LMS[6] * r + LMS[7] * g + LMS[8] * bl)
        l = between(LAB[0] * long + LAB[1] * medium + LAB[2] * short, f4(0), f4(1))
        shifted = TOE_3 * l - TOE_1
        x = f4(0.5) * (shifted + np.sqrt(shifted * shifted + f4(4) * TOE_2 * TOE_3 * l))
        rest = f4(1) / max(f4(1) - slope[i], f4(LEAST_REST))
        mean, variance = offset[i] * rest, f4(EDGE * EDGE) * slope[i] * rest
        away = (x - mean) * (x - mean)
        leaned = x - lean * (away - variance) / np.sqrt(away + variance + f4(TINY))
        lightness[i] = leaned
        base[i] = between(slope[i] * leaned + offset[i], f4(0), f4(1))
        usual_a, usual_b = mean_usual(usual, x, f4(0))
        mean_a, mean_b = mean_usual(usual, mean, variance)
        vary_a = LAB[3] * long + LAB[4] * medium + LAB[5] * short - usual_a
        vary_b = LAB[6] * long + LAB[7] * medium + LAB[8] * short - usual_b
        mean_a, mean_b = around_a[i] - mean_a, around_b[i] - mean_b
        vary_a, vary_b = fine * (vary_a - mean_a), fine * (vary_b - mean_b)
        sure = mean * mean / (mean * mean + f4(CRUSHED * CRUSHED))
        mean_a, mean_b = sure * mean_a, sure * mean_b
        more = between(along_a * mean_a + along_b * mean_b, f4(-MOST_COLORFUL), f4(MOST_COLORFUL))
        colorful[i] = f4(1) + more / (f4(1) + f4(2) * more) if more > f4(0) else f4(1) / (f4(1) - more)
        vary_a += across_aa * mean_a + across_ab * mean_b
        vary_b += across_ab * mean_a + across_bb * mean_b
        limit = f4(1) / (f4(1) + np.sqrt(vary_a * vary_a + vary_b * vary_b) * f4(1 / VARIATION_LIMIT))
        a[i], b[i] = limit * vary_a, limit * vary_b
    for i in range(count):
        place = base[i] * f4(last)
        j = min(np.int32(place), np.int32(last - 1))
        part = place - f4(j)
        lightness[i] -= base[i]
        gain[i] = curves[3, j] + part * (curves[3, j + 1] - curves[3, j])
        base[i] = curves[0, j] + part * (curves[0, j + 1] - curves[0, j])
    for i in range(count):
        more = between(gain[i], f4(DETAIL_GAIN[0]), f4(DETAIL_GAIN[1])) - f4(1)
        detail = (f4(1) + more * (signal[i] if more > f4(0) else f4(1))) * lightness[i]
        room = max(top - base[i] if detail > f4(0) else base[i] - bottom, f4(LEAST_ROOM))
        lightness[i] = between(base[i] + detail * room / np.sqrt(room * room + detail * detail), bottom, top)
    for i in range(count):
        place = lightness[i] * f4(last)
        j = min(np.int32(place), np.int32(last - 1))
        part = place - f4(j)
        a[i] += colorful[i] * (curves[1, j] + part * (curves[1, j + 1] - curves[1, j]))
        b[i] += colorful[i] * (curves[2, j] + part * (curves[2, j + 1] - curves[2, j]))
    for i in range(count):
        x = lightness[i]
        l = x * (x + TOE_1) / (TOE_3 * (x + TOE_2))
        new_a, new_b = a[i], b[i]
        long = LAB_LMS[0] * l + LAB_LMS[1] * new_a + LAB_LMS[2] * new_b
        medium = LAB_LMS[3] * l + LAB_LMS[4] * new_a + LAB_LMS[5] * new_b
        short = LAB_LMS[6] * l + LAB_LMS[7] * new_a + LAB_LMS[8] * new_b
        long, medium, short = long * long * long, medium * medium * medium, short * short * short
        r = LMS_RGB[0] * long + LMS_RGB[1] * medium + LMS_RGB[2] * short
        g = LMS_RGB[3] * long + LMS_RGB[4] * medium + LMS_RGB[5] * short
        bl = LMS_RGB[6] * long + LMS_RGB[7] * medium + LMS_RGB[8] * short
        gray = l * l * l
        above, room_above = max(max(r, g), bl) - gray, high - gray
        below, room_below = gray - min(min(r, g), bl), gray - low
        # The smaller of room_above / above and room_below / below, at most 1: so with one division.
        upwards = room_above * below < room_below * above
        needed, room = (above, room_above) if upwards else (below, room_below)
        share = room / max(needed, room)
        red[i] = between(gray + share * (r - gray), low, high)
        green[i] = between(gray + share * (g - gray), low, high)
        blue[i] = between(gray + share * (bl - gray), low, high)


@compiled
def encode_channel(channel):
    """sRGB transfer function (IEC 61966-2-1), in place, of (n,) float32 linear light within LINEAR_RANGE."""
    for i in range(channel.size):
        root = cube_root(channel[i])
        curved = f4(1.055) * root * np.sqrt(np.sqrt(root)) - f4(0.055)  # x^(1/2.4) is the cube root's 5/4th power
        channel[i] = channel[i] * f4(12.92) if channel[i] <= f4(0.0031308) else curved


@compiled
def transform_levels(pixels, out, linear, levels, values, placement, curves, usual, variation, light, drawn):
    """RGBA in whole numbers (H, W, 4). linear: (3, …) of each level, as if the light were white; levels: of linear
    light, evenly spaced, or none: computed.

    values, placement: of the base, see `photo.base`: (h, w · CHANNELS). light: (3,), white in it. drawn: (4,), see `drawn_range`.
    """
    red, green, blue = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    base, row = np.empty((CHANNELS, BLOCK), np.float32), np.empty(values.shape[1], np.float32)
    down, top, across, left = placement
    scale = f4(len(levels) - 1 if len(levels) else linear.shape[1] - 1)
    limits = drawn[0], drawn[1], drawn[2], drawn[3]
    for y in range(pixels.shape[0]):
        interpolate_row(values, down * y + top, row)
        for start in range(0, pixels.shape[1], BLOCK):
            old, new = pixels[y, start : start + BLOCK], out[y, start : start + BLOCK]
            count = len(old)
            r, g, b = red[:count], green[:count], blue[:count]
            here = base[0, :count], base[1, :count], base[2, :count], base[3, :count], base[4, :count]
            interpolate_base(row, across, left, start, here)
            for i in range(count):
                r[i], g[i], b[i] = linear[0, old[i, 0]], linear[1, old[i, 1]], linear[2, old[i, 2]]
            transform_block(r, g, b, here, curves, usual, variation, limits)
            for i in range(count):
                r[i], g[i], b[i] = r[i] * light[0], g[i] * light[1], b[i] * light[2]
            if len(levels):
                for i in range(count):
                    new[i, 0] = levels[np.uint32(np.int32(scale * r[i] + f4(0.5)))]
                    new[i, 1] = levels[np.uint32(np.int32(scale * g[i] + f4(0.5)))]
                    new[i, 2] = levels[np.uint32(np.int32(scale * b[i] + f4(0.5)))]
                    new[i, 3] = old[i, 3]
            else:
                encode_channel(r)
                encode_channel(g)
                encode_channel(b)
                for i in range(count):
                    new[i, 0] = np.int32(scale * r[i] + f4(0.5))
                    new[i, 1] = np.int32(scale * g[i] + f4(0.5))
                    new[i, 2] = np.int32(scale * b[i] + f4(0.5))
                    new[i, 3] = old[i, 3]


@compiled
def transform_floats(pixels, out, values, placement, curves, usual, variation, light, drawn):
    """RGBA in float32 (H, W, 4); see `transform_levels`."""
    red, green, blue = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    base, row = np.empty((CHANNELS, BLOCK), np.float32), np.empty(values.shape[1], np.float32)
    down, top, across, left = placement
    limits = drawn[0], drawn[1], drawn[2], drawn[3]
    for y in range(pixels.shape[0]):
        interpolate_row(values, down * y + top, row)
        for start in range(0, pixels.shape[1], BLOCK):
            old, new = pixels[y, start : start + BLOCK], out[y, start : start + BLOCK]
            count = len(old)
            r, g, b = red[:count], green[:count], blue[:count]
            here = base[0, :count], base[1, :count], base[2, :count], base[3, :count], base[4, :count]
            interpolate_base(row, across, left, start, here)
            for i in range(count):
                r[i], g[i], b[i] = old[i, 0], old[i, 1], old[i, 2]
            for i in range(count):
                r[i] = linear_from_encoded(r[i]) / light[0]
                g[i] = linear_from_encoded(g[i]) / light[1]
                b[i] = linear_from_encoded(b[i]) / light[2]
            transform_block(r, g, b, here, curves, usual, variation, limits)
            for i in range(count):
                r[i], g[i], b[i] = r[i] * light[0], g[i] * light[1], b[i] * light[2]
            for channel in (r, g, b):
                encode_channel(channel)
            for i in range(count):
                new[i, 0], new[i, 1], new[i, 2], new[i, 3] = r[i], g[i], b[i], old[i, 3]


@compiled
def search_gamut_shares(lab):
    """See `gamut_shares`."""
    shares = np.empty(len(lab))
    for i in range(len(lab)):
        low, high, share = 0.0, 1.0, 1.0
        for _ in range(16):
            l, a, b = lab[i, 0], share * lab[i, 1], share * lab[i, 2]
            long = (LAB_LMS[0] * l + LAB_LMS[1] * a + LAB_LMS[2] * b) ** 3
            medium = (LAB_LMS[3] * l + LAB_LMS[4] * a + LAB_LMS[5] * b) ** 3
            short = (LAB_LMS[6] * l + LAB_LMS[7] * a + LAB_LMS[8] * b) ** 3
            red = LMS_RGB[0] * long + LMS_RGB[1] * medium + LMS_RGB[2] * short
            green = LMS_RGB[3] * long + LMS_RGB[4] * medium + LMS_RGB[5] * short
            blue = LMS_RGB[6] * long + LMS_RGB[7] * medium + LMS_RGB[8] * short
            if min(min(red, green), blue) >= LOW and max(max(red, green), blue) <= HIGH:
                low = share
            else:
                high = share
            if low == high:
                break
            share = (low + high) / 2
        shares[i] = low
    return shares
