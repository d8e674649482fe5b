"""The precision-recall curve as a picture, drawn with OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import PhotoError
from ..photo.files import write_image

# The picture's side, and the margins around its axes, in pixels: left, right, top, bottom.
SIDE = 600
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 60

# Lines of equal F1 are drawn for orientation at these values.
F1_LINES = (0.8, 0.9, 0.95)

# RGB.
WHITE, BLACK, GRID, LINES, ORANGE = (255, 255, 255), (40, 40, 40), (236, 236, 236), (200, 200, 200), (255, 127, 14)

# cv2 draws lines at fractions of a pixel: coordinates are given in 1 / 2**SHIFT pixels.
SHIFT = 4

FONT = cv2.FONT_HERSHEY_SIMPLEX


def plot_curve(result: dict, path: Path) -> None:
    """Draw the precision-recall curve of `evaluate` into an image file.

    Raises PhotoError if no mask had hair or the file cannot be written.
    """
    if not result["photos_with_hair"]:
        raise PhotoError("There is no precision-recall curve to draw: none of the masks has hair.")
    write_image(path, draw_curve(result))


def draw_curve(result: dict) -> np.ndarray:
    """The curve, axes from 0 to 1 and lines of equal F1: (SIDE, SIDE, 3) uint8."""
    picture = np.full((SIDE, SIDE, 3), WHITE, np.uint8)
    for tick in np.linspace(0, 1, 6):
        _draw_line(picture, [tick, tick], [0, 1], GRID)
        _draw_line(picture, [0, 1], [tick, tick], GRID)
        x, y = _to_pixels(tick, tick)
        _write(picture, f"{tick:.1f}", (x - 12, SIDE - BOTTOM + 20), 0.45)
        _write(picture, f"{tick:.1f}", (LEFT - 38, y + 5), 0.45)
    recall = np.linspace(0.01, 1, 200)
    for f1 in F1_LINES:
        shown = recall[recall >= f1 / (2 - f1)]  # below, precision would have to be above 1
        _draw_line(picture, shown, f1 * shown / (2 * shown - f1), LINES)
        x, y = _to_pixels(1, f1 / (2 - f1))
        _write(picture, f"F1 {f1}", (x - 62, y + 16), 0.4, LINES)
    _draw_line(picture, result["curve"]["recall"], result["curve"]["precision"], ORANGE, 2)
    _draw_line(picture, [0, 0, 1], [1, 0, 0], BLACK)
    title = f"Hair, {result['photos_with_hair']} photos: AP {result['pooled_average_precision']:.4f}"
    _write(picture, title, (LEFT, TOP - 15), 0.55)
    _write(picture, "recall", (SIDE // 2, SIDE - 15), 0.5)
    sideways = np.full((24, 90, 3), WHITE, np.uint8)
    _write(sideways, "precision", (5, 17), 0.5)
    picture[SIDE // 2 - 45 : SIDE // 2 + 45, 4:28] = np.rot90(sideways)
    return picture


def _to_pixels(recall: float, precision: float) -> tuple[int, int]:
    width, height = SIDE - LEFT - RIGHT, SIDE - TOP - BOTTOM
    return round(LEFT + recall * width), round(TOP + (1 - precision) * height)


def _draw_line(picture: np.ndarray, recall, precision, color: tuple[int, int, int], thickness: int = 1) -> None:
    width, height = SIDE - LEFT - RIGHT, SIDE - TOP - BOTTOM
    x, y = LEFT + np.asarray(recall) * width, TOP + (1 - np.asarray(precision)) * height
    points = np.rint(np.stack([x, y], axis=-1) * (1 << SHIFT)).astype(np.int32)
    cv2.polylines(picture, [points], False, color, thickness, cv2.LINE_AA, SHIFT)


def _write(picture: np.ndarray, text: str, place: tuple[int, int], size: float, color=BLACK) -> None:
    cv2.putText(picture, text, place, FONT, size, color, 1, cv2.LINE_AA)
