"""What pictures are painted with: a canvas that keeps image and hair alpha together, shapes, smooth noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

FIXED_POINT = 4  # bits after the point in coordinates handed to OpenCV


@dataclass
class Canvas:
    """image: (h, w, 3) float32 RGB, 0…255. mask: (h, w) float32 hair alpha, 0…1. Both are painted in place."""

    image: np.ndarray
    mask: np.ndarray

    def fill(self, alpha: np.ndarray, color, hair: bool = False) -> None:
        """Cover with a color or a picture; alpha: (h, w) float32, 0…1."""
        self.image += alpha[..., None] * (np.asarray(color, np.float32) - self.image)
        self.mask += alpha * (float(hair) - self.mask)

    def polygon(self, points: np.ndarray) -> np.ndarray:
        """Alpha of a closed shape; points: (n, 2) x, y in pixels."""
        alpha = np.zeros(self.mask.shape, np.uint8)
        cv2.fillPoly(alpha, [fixed(points)], 255, cv2.LINE_AA, FIXED_POINT)
        return alpha.astype(np.float32) / 255

    def strokes(self, paths: np.ndarray, colors: np.ndarray, width: int, hair: bool = True) -> None:
        """Antialiased lines; paths: (n, k, 2) x, y in pixels. colors: (n, s, 3), one for each of s equal parts."""
        parts = colors.shape[1]
        cuts = np.linspace(0, paths.shape[1] - 1, parts + 1).astype(int)
        points, shade = fixed(paths), [[tuple(map(float, c)) for c in strand] for strand in colors]
        for path, strand in zip(points, shade, strict=True):
            for part in range(parts):
                piece = [path[cuts[part] : cuts[part + 1] + 1]]
                cv2.polylines(self.image, piece, False, strand[part], width, cv2.LINE_AA, FIXED_POINT)
            cv2.polylines(self.mask, [path], False, float(hair), width, cv2.LINE_AA, FIXED_POINT)


@dataclass
class LayeredCanvas(Canvas):
    """A canvas that also keeps what its hair alone adds to the image: hair, (h, w, 3) float32, 0…255, is the hair's color
    times its alpha."""

    hair: np.ndarray

    def fill(self, alpha: np.ndarray, color, hair: bool = False) -> None:
        super().fill(alpha, color, hair)
        self.hair += alpha[..., None] * (np.asarray(color if hair else 0, np.float32) - self.hair)

    def strokes(self, paths: np.ndarray, colors: np.ndarray, width: int, hair: bool = True) -> None:
        super().strokes(paths, colors, width, hair)
        alone = Canvas(self.hair, np.zeros_like(self.mask))
        alone.strokes(paths, colors if hair else np.zeros_like(colors), width, hair)


@dataclass(frozen=True)
class Layers:
    """A picture taken apart, exactly. hair, behind: (h, w, 3) float32, 0…255, what hair and all the rest add to it: their
    color times the share of the pixel that they cover. alpha: (h, w) float32, 0…1, the hair's share. noise: as added,
    (h, w, 1) or (h, w, 3) float32."""

    hair: np.ndarray
    alpha: np.ndarray
    behind: np.ndarray
    noise: np.ndarray

    def picture(self, hair: np.ndarray | None = None) -> np.ndarray:
        """The picture, (h, w, 3) uint8 RGB; with another `hair`, the same strands in other colors."""
        return np.clip(np.round((self.hair if hair is None else hair) + self.behind + self.noise), 0, 255).astype(
            np.uint8
        )


def fixed(points: np.ndarray) -> np.ndarray:
    """Coordinates in pixels as the int32 numbers with FIXED_POINT bits after the point that OpenCV wants."""
    return np.clip(np.round(points * (1 << FIXED_POINT)), -(2**20), 2**20).astype(np.int32)


def ellipse(center, radii, start: float = 0, end: float = 360, count: int = 60) -> np.ndarray:
    """Points (count, 2) on an ellipse; angles in degrees, clockwise from the right."""
    angle = np.deg2rad(np.linspace(start, end, count))
    return np.stack([center[0] + radii[0] * np.cos(angle), center[1] + radii[1] * np.sin(angle)], axis=1)


def blobs(size: int, cell: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, (size, size) float32 around 0 with spread 1; cell: pixels between independent values."""
    coarse = rng.normal(0, 1, (max(2, int(size / cell) + 2),) * 2).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
