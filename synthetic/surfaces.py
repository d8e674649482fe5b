"""Surfaces and scenery without hair: textures, walls, gardens, cloth, fur.

Nothing in them comes from a photo. All are (size, size, 3) RGB in 0…255 and the same for the same generator.
"""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import FIXED_POINT, Canvas, blobs, ellipse, fixed

# Colors of hair and fur as they grow, RGB.
NATURAL = (
    (18, 15, 14), (34, 26, 22), (58, 40, 30), (88, 60, 40), (120, 84, 54), (156, 116, 74), (196, 160, 108),
    (222, 194, 150), (140, 66, 34), (168, 84, 40), (128, 124, 120), (200, 198, 196), (92, 90, 90),
)  # fmt: skip


def draw_texture(size: int, rng: np.random.Generator) -> np.ndarray:
    """A rendered surface without hair, (size, size, 3) uint8: clouds, grain, points of light, stripes, plain tones.

    Noise goes through a palette from dark to light, mostly of muted tones; nothing in it comes from a photo.
    """
    kind = rng.choice(["clouds", "grain", "points", "stripes", "plain"], p=[0.3, 0.25, 0.2, 0.15, 0.1])
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    value = np.zeros((size, size), np.float32)
    if kind == "clouds":
        for octave in range(1, 7):
            noise = rng.random((2**octave + 1, 2**octave + 1)).astype(np.float32)
            value += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) / 1.7**octave
    elif kind == "grain":  # noise drawn out along one direction and bent, as in wood and brushed metal
        noise = rng.random((size * 2, size * 2)).astype(np.float32)
        value = cv2.resize(cv2.blur(noise, (int(rng.integers(15, 120)), int(rng.integers(1, 5)))), (size, size))
        bend = np.float32(rng.uniform(0, 40)) * np.sin(2 * np.pi * (x * rng.uniform(0.2, 2) + rng.random())).astype(
            np.float32
        )
        value = cv2.remap(value, x * size, np.clip(y * size + bend, 0, size - 1), cv2.INTER_LINEAR)
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 180), 1.5)
        value = cv2.warpAffine(value, turn, (size, size), borderMode=cv2.BORDER_REFLECT)
    elif kind == "points":
        for radius in (0.6, 1.2, 2.5):
            points = (rng.random((size, size)) < 10 ** rng.uniform(-4, -2)).astype(np.float32)
            value += cv2.GaussianBlur(points, (0, 0), radius) * 10 * radius**2
        value = np.minimum(value, 1)
    elif kind == "stripes":
        angle, cycles = rng.uniform(0, np.pi), rng.uniform(3, 60)
        value = np.sin(2 * np.pi * cycles * (x * np.cos(angle) + y * np.sin(angle))).astype(np.float32)
    else:
        value = x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)
    value = cv2.normalize(value, None, 0, 1, cv2.NORM_MINMAX)
    tones = int(rng.integers(2, 5))
    steps = np.linspace(0, 1, tones)
    dark, light = (0.0, rng.uniform(120, 255)) if kind == "points" else np.sort(rng.uniform(10, 245, 2))
    spread = 12 if rng.random() < 0.4 else 45  # how far from gray, in 8-bit levels
    palette = np.clip(
        (dark + (light - dark) * steps)[:, None] + rng.normal(0, spread, 3) + rng.normal(0, 8, (tones, 3)), 0, 255
    )
    if kind == "points":
        palette[0] = rng.uniform(0, 15, 3)
    return np.stack([np.interp(value, steps, palette[:, c]) for c in range(3)], axis=2).astype(np.uint8)


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Walls, gardens, streets and studio paper; (size, size, 3) float32, 0…255."""
    kind = rng.choice(["texture", "paper", "shapes", "foliage"], p=[0.35, 0.2, 0.25, 0.2])
    if kind == "texture":
        image = draw_texture(size, rng).astype(np.float32)
    elif kind == "paper":
        image = rng.uniform(20, 245, 3) + 14 * blobs(size, size / 2, rng)[..., None]
    else:
        image = np.full((size, size, 3), rng.uniform(20, 230, 3), np.float32)
        green = np.array([70, 110, 50]) * rng.uniform(0.5, 1.6)
        for _ in range(rng.integers(8, 60) if kind == "shapes" else 250):
            center, radii = rng.uniform(0, size, 2), size * rng.uniform(0.01, 0.2, 2)
            if kind == "foliage":
                shape, color = (
                    ellipse(center, radii * 0.35, count=9),
                    green * rng.uniform(0.3, 1.7) + rng.normal(0, 12, 3),
                )
            else:
                shape = center + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * radii
                color = rng.uniform(10, 250, 3) * 0.5 + rng.uniform(20, 200) * 0.5
            cv2.fillPoly(image, [fixed(shape)], tuple(map(float, np.clip(color, 0, 255))), cv2.LINE_AA, FIXED_POINT)
    image = np.ascontiguousarray(np.clip(image, 0, 255), np.float32)
    return cv2.GaussianBlur(image, (0, 0), size * rng.choice([0.001, 0.004, 0.012, 0.03]) + 0.1)


def draw_cloth(size: int, rng: np.random.Generator) -> np.ndarray:
    """Woven, knitted, striped or plain, with folds; (size, size, 3) float32, 0…255."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    color = rng.uniform(10, 240, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(8, 235))
    value = 1 + 0.14 * blobs(size, size / rng.uniform(3, 9), rng)
    angle, period = rng.uniform(0, np.pi), rng.uniform(2.5, 16)
    if rng.random() < 0.5:
        value += rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    if rng.random() < 0.3:
        value += rng.uniform(0.05, 0.2) * np.sin(2 * np.pi * (x * np.sin(angle) - y * np.cos(angle)) / period)
    return np.clip(color * value[..., None], 0, 255).astype(np.float32)


def draw_pattern(size: int, rng: np.random.Generator) -> np.ndarray:
    """Cloth with checks, stripes or dots, (size, size, 3) float32, 0…255."""
    cloth = draw_cloth(size, rng)
    y, x = np.mgrid[:size, :size].astype(np.float32) / np.float32(rng.uniform(1.5, 30))
    angle = rng.uniform(0, np.pi)
    x, y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    kind = rng.choice(["checks", "stripes", "dots"])
    if kind == "dots":
        drawn = np.hypot((x % 4) - 2, (y % 4) - 2) < rng.uniform(0.6, 1.8)
    else:
        drawn = np.sin(x) > rng.uniform(-0.5, 0.8)
        if kind == "checks":
            drawn ^= np.sin(y * rng.uniform(0.5, 2)) > rng.uniform(-0.5, 0.8)
    drawn = cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), rng.uniform(0.4, 1.2))[..., None]
    other = rng.uniform(0, 255, 3) if rng.random() < 0.5 else cloth * rng.uniform(0.2, 1)
    return np.clip(cloth + rng.uniform(0.3, 1) * drawn * (other - cloth), 0, 255).astype(np.float32)


def draw_fur(size: int, rng: np.random.Generator) -> np.ndarray:
    """Fur, grass, hay or fringes: strands without a person, (size, size, 3) float32, 0…255."""
    image = np.full((size, size, 3), rng.uniform(10, 120, 3), np.float32)
    canvas = Canvas(image, np.zeros((size, size), np.float32))
    count, length = int(600 * 10 ** rng.uniform(0, 1.25)), size * rng.uniform(0.04, 0.3)
    root = rng.uniform(-0.1, 1.1, (count, 2)) * size
    angle = rng.uniform(0, 2 * np.pi) + rng.choice([0.1, 0.3, 0.6, 3]) * rng.normal(size=(count, 1)) * np.linspace(
        1, 1.5, 8
    )
    step = length / 7 * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    palettes = (NATURAL, ((110, 140, 60), (190, 165, 100), (90, 110, 50)), rng.uniform(30, 230, (1, 3)))
    palette = palettes[rng.choice(3, p=[0.6, 0.2, 0.2])]
    color = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.6, 1.4)
    image[:] = color * rng.uniform(0.3, 0.7) if rng.random() < 0.7 else image[0, 0]
    colors = np.clip(color * rng.uniform(0.4, 1.3, (count, 1, 1)), 0, 255)
    order = np.argsort(root[:, 1])
    canvas.strokes((root[:, None] + np.cumsum(step, axis=1))[order], colors[order], int(rng.integers(1, 4)), hair=False)
    return canvas.image


def render_surface(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A surface or scenery that holds no hair, (size, size, 3) uint8 RGB, and its empty mask."""
    image = draw_fur(size, rng) if rng.random() < 0.7 else draw_background(size, rng)
    return np.clip(image, 0, 255).astype(np.uint8), np.zeros((size, size), np.uint8)
