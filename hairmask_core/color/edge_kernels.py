"""The inner loops of `edges`, compiled; see there for the formulas."""

import numpy as np

from ..photo.compiled import compiled
from .kernels import between, f4, interpolate_row

CHANNELS = 12  # of the map, see `edges.Outline`


@compiled
def unmix_rows(pixels, hair, matte, gains, values, placement, full, excess, smoother):
    """See `edges.unmix`. hair: a copy of the pixels, changed in place. gains: (h, W) float32, to be filled. values: the map,
    (…, CHANNELS · its width). full: the stored number that means 1. excess, smoother: of `edges`, q². Returns how many pixels are
    on the outline.
    """
    found, last = 0, values.shape[1] // CHANNELS - 1
    rounding, scale = f4(0.5) if full > f4(1) else f4(0), f4(1) / full
    row = np.empty(values.shape[1], np.float32)
    step, start = f4(placement[2]), f4(placement[3])
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
            place = between(step * f4(x) + start, f4(0), f4(last))
            j = np.int32(place)
            i, k = CHANNELS * j, CHANNELS * min(j + 1, last)
            if p >= f4(1) and row[i + 10] <= f4(0) and row[k + 10] <= f4(0):
                continue
            part = place - f4(j)
            r = between(f4(pixels[y, x, 0]) * scale, f4(0), f4(1))
            g = between(f4(pixels[y, x, 1]) * scale, f4(0), f4(1))
            b = between(f4(pixels[y, x, 2]) * scale, f4(0), f4(1))
            near = row[i + 6] * r + row[i + 7] * g + row[i + 8] * b - row[i + 9]
            far = row[k + 6] * r + row[k + 7] * g + row[k + 8] * b - row[k + 9]
            off = between(near + part * (far - near), f4(0), f4(1)) - p
            u, v = row[i + 10] + part * (row[k + 10] - row[i + 10]), row[i + 11] + part * (row[k + 11] - row[i + 11])
            doubt = u * (f4(1) + off * off / (u + v))
            trust = doubt / (doubt + v)
            share = p + trust * off
            if share >= f4(1) and p >= f4(1):
                continue
            found += 1
            gains[y, x] = min(share / p, f4(1) + excess * trust)
            rest = f4(1) - share
            own = share / max(share * share + smoother * rest * rest, f4(1e-6))
            for c in range(3):
                color = between(f4(pixels[y, x, c]) * scale, f4(0), f4(1))
                front = row[i + c] + part * (row[k + c] - row[i + c])
                behind = row[i + 3 + c] + part * (row[k + 3 + c] - row[i + 3 + c])
                color = front + own * (color - share * front - rest * behind)
                hair[y, x, c] = between(color, f4(0), f4(1)) * full + rounding
    return found


@compiled
def mix_rows(pixels, hair, dyed, gains, strength, low, high, full, rounding):
    """See `edges.mix`. dyed: changed in place. low, high: what is drawn, unless the photo goes beyond. full: see above."""
    for y in range(gains.shape[0]):
        for x in range(gains.shape[1]):
            gain = gains[y, x]
            if gain < f4(0):
                continue
            for c in range(3):
                old = between(f4(pixels[y, x, c]), f4(0), full)
                new = old + gain / strength * (f4(dyed[y, x, c]) - f4(hair[y, x, c]))
                new = between(new, min(old, low), max(old, high))
                dyed[y, x, c] = old + strength * (new - old) + rounding
