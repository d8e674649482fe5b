"""Maps of a photo that change slowly, kept small and enlarged where they are needed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class ScaledMap:
    """A map of a photo, or of a part cut out of it, at a smaller scale.

    values: (h, w, c) float32, evenly spaced over the whole photo; between them they are interpolated bilinearly.
    height, width: of the whole photo. top, left: where the part begins in it, whose pixels are counted from there.
    """

    values: np.ndarray
    height: int
    width: int
    top: int = 0
    left: int = 0

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def cut(self, top: int, left: int) -> ScaledMap:
        """The map of what is cut out of this one's photo and begins there."""
        return replace(self, top=self.top + top, left=self.left + left)

    @property
    def placement(self) -> tuple[float, float, float, float]:
        """What takes row y and column x of the part to those of `values`: a, b, c and d of a·y + b and c·x + d."""
        down, across = self.values.shape[0] / self.height, self.values.shape[1] / self.width
        return down, (self.top + 0.5) * down - 0.5, across, (self.left + 0.5) * across - 0.5

    def enlarge(self, height: int, width: int) -> np.ndarray:
        """The map on each of the first pixels of the part: (height, width, c) float32."""
        down, top, across, left = self.placement
        above, below, part = _neighbors(down * np.arange(height) + top, self.values.shape[0])
        rows = self.values[above] + part[:, None, None] * (self.values[below] - self.values[above])
        before, behind, part = _neighbors(across * np.arange(width) + left, self.values.shape[1])
        return rows[:, before] + part[:, None] * (rows[:, behind] - rows[:, before])


def _neighbors(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of places between 0 and count - 1, or beyond: the whole numbers below and above, and how far from the first."""
    places = np.clip(places, 0, count - 1)
    below = places.astype(np.intp)
    return below, np.minimum(below + 1, count - 1), (places - below).astype(np.float32)
