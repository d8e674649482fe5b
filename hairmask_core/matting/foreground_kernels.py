"""The inner loop of `foreground.separate_colors`, compiled; see there for the formulas."""

import numpy as np

from ..photo.compiled import compiled

f4 = np.float32


@compiled
def relax(rgb, share, hair, behind, near_hair, near_behind, smoothness, pull, rounds):
    """Bring `hair` and `behind`, (h, w, 3) float32, in place, nearer to what the pixels say. The others are alike; share
    (h, w)."""
    height, width = share.shape
    own, other = np.empty(3, np.float32), np.empty(3, np.float32)
    for _ in range(rounds):
        for y in range(height):
            for x in range(width):
                a = share[y, x]
                b = f4(1) - a
                weights = pull
                for c in range(3):
                    own[c], other[c] = pull * near_hair[y, x, c], pull * near_behind[y, x, c]
                for side in range(4):
                    i = y + (1 if side == 0 else -1 if side == 1 else 0)
                    j = x + (1 if side == 2 else -1 if side == 3 else 0)
                    i, j = min(max(i, 0), height - 1), min(max(j, 0), width - 1)
                    weight = smoothness + abs(a - share[i, j])
                    weights += weight
                    for c in range(3):
                        own[c] += weight * hair[i, j, c]
                        other[c] += weight * behind[i, j, c]
                aa, ab, bb = a * a + weights, a * b, b * b + weights
                scale = f4(1) / (aa * bb - ab * ab)
                for c in range(3):
                    right, below = a * rgb[y, x, c] + own[c], b * rgb[y, x, c] + other[c]
                    hair[y, x, c] = min(max(scale * (bb * right - ab * below), f4(0)), f4(1))
                    behind[y, x, c] = min(max(scale * (aa * below - ab * right), f4(0)), f4(1))
