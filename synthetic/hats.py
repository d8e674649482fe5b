"""Hats drawn by program: caps, beanies, brimmed hats, turbans, scarves, bands, for heads whose place is known.

Portraits with headwear are rare, and what a network learns of a few dozen hats does not carry over to others. Here shape,
cloth and light are drawn anew each time; nothing comes from a photo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .surfaces import NATURAL

KINDS = ("beanie", "cap", "brim", "turban", "scarf", "band")
SMOOTH = 4  # drawn at so many times the size, then averaged


@dataclass(frozen=True)
class Head:
    """Where a head is, pixels: the middle of its brow, half its width there, and its highest row, hair included."""

    x: float
    brow: float
    half_width: float
    top: float


def draw_hat(
    shape: tuple[int, int], head: Head, material: Callable[[], np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A hat on a head: (h, w, 3) float32, 0…255, and its alpha (h, w) float32, 0…1.

    shape: height and width of the picture. material: gives a square of cloth, fur or another surface, (s, s, 3) uint8.
    """
    kind = KINDS[rng.integers(len(KINDS))]
    height, width = shape
    wide = head.half_width * rng.uniform(1.02, 1.25)
    tall = max(head.brow - head.top, 0.5 * wide) * rng.uniform(1.0, 1.25)
    tilt = rng.normal(0, 5)
    low = head.brow + tall * rng.uniform(-0.05, 0.15)  # where it ends on the forehead
    parts: list[np.ndarray] = []  # outlines of its pieces, each of its own cloth
    if kind == "band":
        thick = tall * rng.uniform(0.12, 0.4)
        rise = tall * rng.uniform(0.15, 0.5)
        parts.append(arch(head.x, low - rise, wide, rise * 0.8, thick))
    elif kind == "scarf":
        parts.append(hood(head.x, low, wide * rng.uniform(1.05, 1.3), tall, height))
    else:
        square = {"beanie": 2.2, "cap": 2.2, "brim": rng.uniform(2.5, 4.5), "turban": 2.0}[kind]
        if kind == "turban":
            wide *= rng.uniform(1.0, 1.2)
        parts.append(dome(head.x, low, wide, tall * rng.uniform(0.95, 1.3), square))
    if kind == "beanie" and rng.random() < 0.7:  # turned up
        parts.append(arch(head.x, low - tall * 0.12, wide * 1.04, 0.1 * tall, tall * rng.uniform(0.2, 0.4)))
    if kind == "cap":
        side = rng.normal(0, 0.25) * wide
        parts.append(disk(head.x + side, low, wide * rng.uniform(0.8, 1.05), wide * rng.uniform(0.15, 0.4)))
    if kind == "brim":
        reach = wide * rng.uniform(1.3, 2.2)
        parts.insert(int(rng.integers(2)), disk(head.x, low, reach, reach * rng.uniform(0.12, 0.35)))
        if rng.random() < 0.7:
            parts.append(arch(head.x, low - 0.2 * tall, wide, 0.08 * tall, 0.18 * tall))
    color, alpha = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    cloth = muted(material(), rng)
    for number, outline in enumerate(parts):
        if number and rng.random() < 0.5:
            cloth = muted(material(), rng)
        cover = fill(turned(outline, (head.x, low), tilt), shape)
        piece = lit(cover_with(cloth, shape, wide, rng), cover, kind == "turban", rng)
        color += cover[..., None] * (piece - color)
        alpha = np.maximum(alpha, cover)
    return color, alpha


# Outlines, (k, 2) x and y in pixels


def dome(x: float, low: float, wide: float, tall: float, square: float) -> np.ndarray:
    """The upper half of a superellipse (Lamé): exponent 2 is round, more is boxy."""
    turn = np.linspace(0, np.pi, 60)
    across, up = (np.sign(part) * np.abs(part) ** (2 / square) for part in (np.cos(turn), np.sin(turn)))
    upper = np.stack([x + wide * across, low - tall * up], axis=1)
    lower = np.stack([x - wide * np.cos(turn), low + 0.08 * wide * np.sin(turn)], axis=1)
    return np.concatenate([upper, lower])


def arch(x: float, low: float, wide: float, sag: float, thick: float) -> np.ndarray:
    """A band over the forehead, bent upwards by `sag` in its middle."""
    turn = np.linspace(0, np.pi, 40)
    upper = np.stack([x + wide * np.cos(turn), low - sag * np.sin(turn) - thick / 2], axis=1)
    lower = np.stack([x - wide * np.cos(turn), low - sag * np.sin(turn) + thick / 2], axis=1)
    return np.concatenate([upper, lower])


def disk(x: float, y: float, wide: float, tall: float) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, 80)
    return np.stack([x + wide * np.cos(turn), y + tall * np.sin(turn)], axis=1)


def hood(x: float, low: float, wide: float, tall: float, height: int) -> np.ndarray:
    """A scarf around the face, down to the picture's lower edge, with the face left free."""
    turn = np.linspace(np.pi, 0, 50)
    outer = np.stack([x + wide * np.cos(turn), low - tall * 1.05 * np.sin(turn)], axis=1)
    shoulders = np.array([[x + 1.7 * wide, height], [x - 1.7 * wide, height]])
    face = disk(x, low + 0.9 * wide, 0.8 * wide, 0.98 * wide)
    return np.concatenate([outer, shoulders, outer[:1], face, face[:1]])  # the face is a hole, by the even-odd rule


# Filling them


def turned(outline: np.ndarray, center: tuple[float, float], degrees: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D(center, degrees, 1.0)
    return outline @ matrix[:, :2].T + matrix[:, 2]


def fill(outline: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Coverage of the pixels, (h, w) float32, 0…1."""
    drawn = np.zeros((shape[0] * SMOOTH, shape[1] * SMOOTH), np.uint8)
    cv2.fillPoly(drawn, [np.round(outline * SMOOTH).astype(np.int32)], 255)
    return cv2.resize(drawn, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def muted(cloth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every second time the cloth in a color that hair has as well: those hats are the hard ones."""
    if rng.random() < 0.5:
        return cloth
    gray = cloth.mean(axis=2, keepdims=True)
    pattern = 1 + rng.uniform(0.2, 1) * (gray / max(float(gray.mean()), 1.0) - 1)
    color = np.array(NATURAL[rng.integers(len(NATURAL))]) * np.exp(rng.normal(0, 0.15, 3))
    return np.clip(pattern * color, 0, 255).astype(np.uint8)


def cover_with(cloth: np.ndarray, shape: tuple[int, int], wide: float, rng: np.random.Generator) -> np.ndarray:
    """The cloth over the whole picture, mirrored at its edges: (h, w, 3) float32. wide: half a head's width, pixels."""
    scale = wide * np.exp(rng.uniform(np.log(0.6), np.log(3))) / cloth.shape[0]
    turn = cv2.getRotationMatrix2D((0, 0), rng.uniform(0, 360), scale)
    turn[:, 2] = rng.uniform(0, 500, 2)
    if scale < 0.7:
        cloth = cv2.GaussianBlur(cloth, (0, 0), 0.4 / scale)
    return cv2.warpAffine(cloth, turn, shape[::-1], borderMode=cv2.BORDER_REFLECT_101).astype(np.float32)


def lit(cloth: np.ndarray, cover: np.ndarray, folded: bool, rng: np.random.Generator) -> np.ndarray:
    """The cloth with light and shadow as on something round; (h, w, 3) float32, 0…255."""
    height, width = cover.shape
    rows, columns = np.flatnonzero(cover.any(1)), np.flatnonzero(cover.any(0))
    if not rows.size:
        return cloth
    y = (np.arange(height, dtype=np.float32)[:, None] - rows[0]) / max(rows[-1] - rows[0], 1) * 2 - 1
    x = (np.arange(width, dtype=np.float32)[None] - columns[0]) / max(columns[-1] - columns[0], 1) * 2 - 1
    side, above = rng.normal(0, 0.6), rng.uniform(0.1, 0.9)
    light = rng.uniform(0.7, 1.15) + 0.3 * (side * x - above * y) - rng.uniform(0, 0.35) * (x * x)
    if folded or rng.random() < 0.35:
        slope, cycles = rng.normal(0, 0.8), rng.uniform(2, 9)
        bend = rng.uniform(0, 0.6) * x * x
        light = light + rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * (cycles * (y + slope * x + bend) + rng.random()))
    edge = cv2.GaussianBlur(cover, (0, 0), max(1.0, width / 60))
    light = light * (1 - rng.uniform(0, 0.7) * np.clip(1 - edge, 0, 1))
    return np.clip(cloth * np.clip(light, 0.15, 1.7)[..., None], 0, 255)
