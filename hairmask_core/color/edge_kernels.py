"""The inner loops of `edges`, compiled; see there for the formulas."""

import numpy as np

from ..photo.compiled import compiled
from .kernels import between, f4

CHANNELS = 8  # of the map, see `edges.Outline`


@compiled
def interpolate_row(values, y, row):
    """Row y of a map (h, w, c), bilinearly between its rows, into row (w, c)."""
    y = min(max(y, 0.0), float(len(values) - 1))
    above = int(y)
    below = min(above + 1, len(values) - 1)
    part = f4(y - above)
    for j in range(values.shape[1]):
        for c in range(values.shape[2]):
            row[j, c] = values[above, j, c] + part * (values[below, j, c] - values[above, j, c])


@compiled
def unmix_rows(pixels, hair, matte, gains, values, placement, scale, full, excess):
    """See `edges.unmix`. hair: a copy of the pixels, changed in place. gains: (h, W) float32, to be filled.

    full: the stored number that means 1. scale: 1 / full. excess: of `edges`. Returns how many pixels are on the outline.
    """
    found, last = 0, values.shape[1] - 1
    rounding = f4(0.5) if full > f4(1) else f4(0)
    row, here = np.empty((values.shape[1], CHANNELS), np.float32), np.empty(CHANNELS, np.float32)
    color = np.empty(3, np.float32)
    for y in range(matte.shape[0]):
        ready = False
        for x in range(matte.shape[1]):
            gains[y, x] = f4(-1)
            p = matte[y, x]
            if not p > f4(0):
                continue
            if not ready:
                interpolate_row(values, placement[0] * y + placement[1], row)
                ready = True
            place = f4(min(max(placement[2] * x + placement[3], 0.0), float(last)))
            j = np.int32(place)
            k = min(j + 1, last)
            if p >= f4(1) and row[j, 7] <= f4(0) and row[k, 7] <= f4(0):
                continue
            part = place - f4(j)
            for c in range(CHANNELS):
                here[c] = row[j, c] + part * (row[k, c] - row[j, c])
            seen = -here[6]
            for c in range(3):
                color[c] = between(f4(pixels[y, x, c]) * scale, f4(0), f4(1))
                seen += color[c] * here[c + 3]
            share = p + here[7] * (between(seen, f4(0), f4(1)) - p)
            gains[y, x] = min(share / p, f4(1) + excess * here[7])
            for c in range(3):
                new = between(color[c] + (f4(1) - share) * here[c], f4(0), f4(1))
                hair[y, x, c] = new * full + rounding
            found += 1
    return found


@compiled
def mix_rows(pixels, hair, dyed, gains, strength, low, high, rounding):
    """See `edges.mix`. dyed: changed in place. low, high: what is drawn, unless the photo goes beyond."""
    for y in range(gains.shape[0]):
        for x in range(gains.shape[1]):
            gain = gains[y, x]
            if gain < f4(0):
                continue
            for c in range(3):
                old = f4(pixels[y, x, c])
                new = old + gain / strength * (f4(dyed[y, x, c]) - f4(hair[y, x, c]))
                new = between(new, min(old, low), max(old, high))
                dyed[y, x, c] = old + strength * (new - old) + rounding
