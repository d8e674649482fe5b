"""People with hair, drawn by program with an exact mask: training images that no photo went into.

A picture is painted from back to front: background, hair behind the head, shoulders, head, face, hair in front,
things worn. Every stroke goes onto the image and, white for hair and black for anything else, onto the mask, so
that the mask is exact down to the antialiased edge of each strand.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import Canvas, LayeredCanvas, Layers, blobs, ellipse
from .surfaces import NATURAL, draw_background, draw_cloth, render_surface

SKINS = ((244, 210, 188), (232, 186, 158), (214, 160, 126), (180, 124, 90), (134, 88, 62), (92, 58, 42), (62, 40, 32))
DYED = ((40, 80, 180), (220, 90, 160), (60, 150, 90), (130, 60, 160), (200, 30, 40), (60, 180, 190), (240, 140, 60))


# Hair


@dataclass(frozen=True)
class Head:
    """center: x, y; radius: half the head's width, both in pixels. turn: 0 from the front, ±1 from the side,
    2 from behind."""

    center: np.ndarray
    radius: float
    turn: float

    def at(self, points) -> np.ndarray:
        """Points in head radii around its center -> pixels."""
        return self.center + np.asarray(points, np.float64) * self.radius


@dataclass(frozen=True)
class Style:
    """How hair grows. Lengths in head radii: volume above the skull, fall below its middle."""

    kind: str  # straight, wavy, curly, kinky, braids, dreadlocks, short
    color: np.ndarray
    tip: np.ndarray
    volume: float
    fall: float
    parting: float
    wave: float
    cycles: float


def choose_style(rng: np.random.Generator) -> Style:
    kind = rng.choice(
        ["straight", "wavy", "curly", "kinky", "braids", "dreadlocks", "short"],
        p=[0.22, 0.18, 0.12, 0.12, 0.08, 0.08, 0.2],
    )
    palette = NATURAL if rng.random() < 0.87 else DYED
    color = np.array(palette[rng.integers(len(palette))], np.float64) * rng.uniform(0.8, 1.2)
    tip = color * rng.uniform(0.9, 1.35) if rng.random() < 0.93 else np.array(DYED[rng.integers(len(DYED))]) * 1.0
    wave = {"wavy": rng.uniform(0.05, 0.14), "curly": rng.uniform(0.1, 0.22)}.get(kind, rng.uniform(0, 0.025))
    return Style(
        kind=str(kind),
        color=color,
        tip=tip,
        volume=rng.uniform(0.02, 0.12)
        if kind == "short"
        else rng.uniform(0.3, 1.0)
        if kind == "kinky"
        else rng.uniform(0.08, 0.35),
        fall=rng.uniform(-0.3, 0.4) if kind == "short" else rng.uniform(0.2, 3.2),
        parting=rng.uniform(-0.45, 0.45),
        wave=wave,
        cycles=rng.uniform(1.5, 4) if kind == "wavy" else rng.uniform(4, 9),
    )


def fall_paths(head: Head, style: Style, count: int, depth, rng: np.random.Generator, points: int = 22) -> np.ndarray:
    """Strands from the parting over the skull and down: (count, points, 2) pixels.

    depth: (low, high) of the shell that a strand runs in; 0 is the middle of the back of the head, 1 its outline.
    """
    t = np.linspace(0, 1, points)[None]
    side = np.where(rng.random((count, 1)) < 0.5 + style.parting / 3, -1.0, 1.0)
    shell = rng.uniform(*depth, (count, 1))
    reach = 0.06 + shell * (1 + style.volume * rng.uniform(0.6, 1.05, (count, 1)))
    top = -(1.22 + style.volume * rng.uniform(0.5, 1, (count, 1)))
    fall = style.fall * rng.uniform(0.75, 1.05, (count, 1)) + 0.05 * rng.normal(size=(count, 1))
    # A quarter of an ellipse from the parting to the widest point, then down.
    bend = 0.45
    arc = np.clip(t / bend, 0, 1) * np.pi / 2
    down = np.clip((t - bend) / (1 - bend), 0, 1)
    x = style.parting * 0.6 * np.cos(arc) + side * reach * np.sin(arc)
    y = top * np.cos(arc) * (0.55 + 0.45 * shell) + down * (fall + 0.1)
    x = x + side * down * (rng.normal(0, 0.08, (count, 1)) - 0.12 * max(style.fall, 0) * rng.uniform(0, 1, (count, 1)))
    phase = rng.uniform(0, 2 * np.pi, (count, 1)) * (0.35 if style.kind == "wavy" else 1)
    swing = style.wave * np.minimum(1, 3 * t) * np.sin(2 * np.pi * style.cycles * t + phase)
    drift = np.cumsum(rng.normal(0, 0.006, (count, points)), axis=1)
    return head.at(np.stack([x + swing + drift, y + 0.4 * np.roll(swing, 3, axis=1)], axis=2))


def kinky_paths(head: Head, style: Style, count: int, rng: np.random.Generator, points: int = 9) -> np.ndarray:
    """Small coils all over a ball around the skull."""
    angle = rng.uniform(0, 2 * np.pi, count)
    out = np.sqrt(rng.uniform(0, 1, count)) * (1.02 + style.volume)
    center = np.stack([out * np.cos(angle), out * np.sin(angle) * 1.06 - 0.25], axis=1)
    center = center[center[:, 1] < 0.35 + max(style.fall, 0) * 0.25]
    turn = rng.uniform(0, 2 * np.pi, (len(center), 1)) + np.linspace(0, rng.uniform(3, 7), points)[None]
    size = rng.uniform(0.02, 0.07, (len(center), 1))
    coil = np.stack([size * np.cos(turn), size * np.sin(turn)], axis=2) + np.linspace(0, 0.06, points)[None, :, None]
    return head.at(center[:, None] + coil)


def strand_colors(paths: np.ndarray, head: Head, style: Style, parts: int, rng: np.random.Generator) -> np.ndarray:
    """(n, parts, 3): darker inside, a band of sheen where hair bends towards the light, tips in their own color."""
    along = np.linspace(0, 1, parts)[None, :, None]
    base = style.color * (1 - along) + style.tip * along
    where = paths[:, np.linspace(0, paths.shape[1] - 1, parts).astype(int), 1]
    height = (where - head.center[1]) / head.radius
    sheen = np.exp(-(((height + 0.55) / 0.28) ** 2)) * rng.uniform(0.2, 1.1) * rng.random((len(paths), 1))
    value = rng.uniform(0.55, 1.2, (len(paths), 1)) * (0.85 + 0.2 * along[..., 0])
    return np.clip(base * value[..., None] + 95 * sheen[..., None] * (style.color / 255 + 0.25), 0, 255)


def hair_body(canvas: Canvas, head: Head, style: Style, rng: np.random.Generator) -> None:
    """The closed mass behind the strands, dark and uneven."""
    size = len(canvas.mask)
    if style.kind == "kinky":
        outline = ellipse((0, -0.25), (1 + style.volume * 0.93,) * 2, count=50)
        outline *= 1 + 0.03 * rng.normal(size=(50, 1))
        outline[:, 1] = np.minimum(outline[:, 1], 0.35 + max(style.fall, 0) * 0.25)
    else:
        width, bottom = 1 + style.volume * 0.75, style.fall * 0.8
        cap = ellipse((0, -0.15), (width, 1.12 + style.volume * 0.7), 180, 360, 40)
        narrowing = 1 - 0.1 * max(style.fall, 0)
        hem = np.linspace(width * narrowing, -width * narrowing, 16)
        outline = np.vstack([cap, np.stack([hem, bottom + rng.normal(0, 0.04, 16)], axis=1)])
    dark = style.color * 0.6 * (1 + 0.2 * blobs(size, head.radius / 5, rng)[..., None])
    canvas.fill(canvas.polygon(head.at(outline)), np.clip(dark, 0, 255), hair=True)


def ropes(canvas: Canvas, head: Head, style: Style, depth, rng: np.random.Generator) -> None:
    """Braids and dreadlocks: thick strands with a twist drawn across them."""
    count = int(rng.integers(14, 50))
    paths = fall_paths(head, style, count, depth, rng, 40)
    width = max(2, int(head.radius * rng.uniform(0.05, 0.13)))
    dark, light = style.color * 0.5, style.color * rng.uniform(0.95, 1.3) + 12
    for path in paths:
        tone = rng.uniform(0.75, 1.2)
        canvas.strokes(path[None], np.clip(dark * tone, 0, 255)[None, None], width)
        step = np.gradient(path, axis=0)
        across = np.stack([-step[:, 1], step[:, 0]], axis=1)
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
        slant = step / (np.linalg.norm(step, axis=1, keepdims=True) + 1e-6)
        knots = np.linspace(0, len(path) - 1, max(4, int(len(path) * 0.8))).astype(int)
        left = path[knots] - across[knots] * width * 0.3 - slant[knots] * width * 0.25
        right = path[knots] + across[knots] * width * 0.3 + slant[knots] * width * 0.25
        if style.kind == "dreadlocks":
            left, right = (
                left + rng.normal(0, width * 0.15, left.shape),
                right + rng.normal(0, width * 0.15, left.shape),
            )
        canvas.strokes(
            np.stack([left, right], axis=1),
            np.clip(light * tone, 0, 255)[None, None].repeat(len(knots), 0),
            max(1, width // 3),
        )


def draw_hair(canvas: Canvas, head: Head, style: Style, depth, rng: np.random.Generator) -> None:
    """Strands in the shells of `depth` (see fall_paths), as the style has them."""
    count = int(np.clip(head.radius * 12, 120, 1100) * (depth[1] - depth[0] + 0.3))
    width = 1 if head.radius < 70 else 2
    if style.kind == "kinky":
        paths = kinky_paths(head, style, count * 2, rng)
        if depth[0] > 0.5:  # in front of a face only what frames it
            middle = (paths.mean(axis=1) - head.center) / head.radius
            paths = paths[(np.hypot(*middle.T) > 0.95) | (middle[:, 1] < -0.75)]
    elif style.kind in ("braids", "dreadlocks"):
        canvas.strokes(*_with_colors(fall_paths(head, style, count // 2, depth, rng), head, style, rng), 1)
        ropes(canvas, head, style, depth, rng)
        return
    else:
        paths = fall_paths(head, style, count, depth, rng)
    canvas.strokes(*_with_colors(paths, head, style, rng), width)


def _with_colors(paths, head, style, rng):
    return paths, strand_colors(paths, head, style, 4, rng)


# People


def draw_shoulders(canvas: Canvas, head: Head, skin, rng: np.random.Generator) -> None:
    size = len(canvas.mask)
    slope, reach = rng.uniform(1.7, 2.1), rng.uniform(2.2, 3.2)
    light = 1 + 0.1 * blobs(size, head.radius * 2, rng)[..., None]
    neck = [(-0.5, 0.4), (0.5, 0.4), (0.62, 1.9), (-0.62, 1.9)]
    canvas.fill(canvas.polygon(head.at(neck)), np.clip(np.array(skin) * 0.78 * light, 0, 255))
    body = [(-0.62, 1.55), (-reach * 0.6, slope), (-reach, slope + 1.2), (-reach, 9), (reach, 9), (reach, slope + 1.2)]
    body += [(reach * 0.6, slope), (0.62, 1.55), (0, rng.uniform(1.6, 2.6))]
    canvas.fill(canvas.polygon(head.at(body)), draw_cloth(size, rng))
    if rng.random() < 0.12:  # a scarf, sometimes with fringes
        canvas.fill(canvas.polygon(head.at(ellipse((0, 1.5), (0.95, 0.5)))), draw_cloth(size, rng))
        if rng.random() < 0.6:
            x = rng.uniform(-0.5, 0.5, (60, 1)) + np.linspace(0, 0.05, 6)[None] * rng.normal(size=(60, 1))
            y = 2.0 + np.linspace(0, 1, 6)[None].repeat(60, 0)
            colors = rng.uniform(20, 220, 3) * rng.uniform(0.7, 1.1, (60, 1, 1))
            canvas.strokes(head.at(np.stack([x, y], axis=2)), colors, 1, hair=False)


def draw_face(canvas: Canvas, head: Head, skin, rng: np.random.Generator) -> None:
    """Face with features, turned as the head is; nothing of it is hair, eyebrows and beard neither."""
    size, turn = len(canvas.mask), head.turn
    y, x = np.mgrid[:size, :size].astype(np.float32)
    lit = 1 + 0.22 * (
        (x - head.center[0]) / head.radius * rng.uniform(-1, 1) - (y - head.center[1]) / head.radius * 0.3
    )
    tone = np.clip(np.array(skin) * np.clip(lit, 0.5, 1.25)[..., None] + 4 * blobs(size, 3, rng)[..., None], 0, 255)
    for ear in (-1, 1):
        if turn * ear < 0.5:
            canvas.fill(canvas.polygon(head.at(ellipse((ear * 0.98, 0.1), (0.14, 0.26)))), tone * 0.9)
    hairline = rng.uniform(-0.85, -0.5)
    face = ellipse((0.35 * turn, 0), (0.95 - 0.2 * abs(turn), 1.28), count=70)
    face[:, 1] = np.maximum(face[:, 1], hairline - 0.12 * np.cos(face[:, 0] * 1.6))
    canvas.fill(canvas.polygon(head.at(face)), tone)
    if abs(turn) > 0.6:  # the profile's nose
        way = np.sign(turn)
        nose = [(way * 1.02, -0.1), (way * 1.28, 0.3), (way * 0.98, 0.36)]
        canvas.fill(canvas.polygon(head.at(nose)), tone)
    brow = np.array([30, 22, 18]) * rng.uniform(0.5, 2.5)
    for eye in (-1, 1):
        spot = eye * 0.38 + 0.62 * turn
        if abs(spot) > 0.95:
            continue
        wide = 0.17 * (1 - 0.4 * abs(turn))
        canvas.fill(canvas.polygon(head.at(ellipse((spot, -0.05), (wide, 0.07)))), (235, 230, 226))
        canvas.fill(canvas.polygon(head.at(ellipse((spot, -0.05), (0.06, 0.07)))), rng.uniform(10, 90, 3))
        hairs = np.linspace(-wide * 1.4, wide * 1.4, 14)[:, None] + np.linspace(0, 0.05, 4)[None] * eye
        lift = -0.25 - 0.05 * np.cos(hairs / wide) + np.linspace(0, -0.05, 4)[None]
        canvas.strokes(head.at(np.stack([spot + hairs, lift], axis=2)), brow[None, None].repeat(14, 0), 1, hair=False)
    if abs(turn) < 0.6:
        x = 0.5 * turn
        canvas.fill(canvas.polygon(head.at(ellipse((x, 0.36), (0.13, 0.07)))), np.array(skin) * 0.72)
        canvas.fill(canvas.polygon(head.at([(x - 0.04, 0), (x + 0.05, 0), (x + 0.1, 0.33)])), np.array(skin) * 0.9)
    lips = np.array(skin) * 0.5 + np.array([150, 50, 50]) * rng.uniform(0.2, 0.6)
    canvas.fill(
        canvas.polygon(head.at(ellipse((0.6 * turn, 0.68), (0.26 - 0.1 * abs(turn), 0.08)))), np.clip(lips, 0, 255)
    )
    if rng.random() < 0.22:
        draw_beard(canvas, head, rng)
    if rng.random() < 0.2:
        for eye in (-1, 1):
            rim = ellipse((eye * 0.38 + 0.55 * turn, -0.03), (0.27, 0.22))
            if rng.random() < 0.4:
                canvas.fill(canvas.polygon(head.at(rim)) * 0.85, rng.uniform(0, 60, 3))
            canvas.strokes(head.at(rim)[None], rng.uniform(0, 80, (1, 1, 3)), max(1, int(head.radius / 25)), hair=False)


def draw_beard(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    count = int(np.clip(head.radius * 8, 60, 700))
    angle = rng.uniform(0.05, 0.95, count) * np.pi
    out = rng.uniform(0.72, 1.02, count)
    root = np.stack([0.35 * head.turn + 0.88 * out * np.cos(angle), 1.22 * out * np.sin(angle)], axis=1)
    root = root[root[:, 1] > rng.uniform(0.15, 0.5)]
    way = np.linspace(0, rng.uniform(0.04, 0.3), 5)[None, :, None] * np.array([0.15, 1])
    paths = root[:, None] + way + rng.normal(0, 0.01, (len(root), 5, 2))
    colors = np.array(NATURAL[rng.integers(len(NATURAL))]) * rng.uniform(0.6, 1.2, (len(root), 1, 1))
    canvas.strokes(head.at(paths), np.clip(colors, 0, 255), 1, hair=False)


def draw_hat(canvas: Canvas, head: Head, volume: float, rng: np.random.Generator) -> None:
    """A cap, a brimmed hat, a headscarf or a headband; what it covers is no hair."""
    size, wide = len(canvas.mask), 1.08 + volume * 0.8
    cloth, low = draw_cloth(size, rng), rng.uniform(-0.75, -0.35)
    if rng.random() < 0.25:
        band = [(-wide, low - 0.2), (wide, low - 0.2), (wide, low + 0.08), (-wide, low + 0.08)]
        canvas.fill(canvas.polygon(head.at(band)), cloth)
        return
    crown = ellipse((0, low), (wide, rng.uniform(0.75, 1.3)), 180, 360)
    canvas.fill(canvas.polygon(head.at(crown)), cloth)
    if rng.random() < 0.5:
        canvas.fill(canvas.polygon(head.at(ellipse((0, low), (wide * rng.uniform(1, 1.9), 0.2)))), cloth * 0.8)


def draw_covered(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    """A headscarf or a hood around the face."""
    cloth = draw_cloth(len(canvas.mask), rng)
    outer = canvas.polygon(head.at(np.vstack([ellipse((0, -0.1), (1.2, 1.4), 170, 370), [(1.5, 2.4), (-1.5, 2.4)]])))
    face = canvas.polygon(head.at(ellipse((0.3 * head.turn, 0.1), (0.78, 1.0))))
    canvas.fill(outer * (1 - (face if head.turn < 2 else 0)), cloth)


def draw_person(canvas: Canvas, head: Head, rng: np.random.Generator) -> None:
    style, skin = choose_style(rng), SKINS[rng.integers(len(SKINS))]
    behind, bald = head.turn == 2, rng.random() < 0.05
    covered = rng.random() < 0.05
    scalp = ellipse((0, -0.1), (1.0, 1.2))
    if not bald and not covered:
        hair_body(canvas, head, style, rng)
        draw_hair(canvas, head, style, (0.3, 1.05), rng)
    draw_shoulders(canvas, head, skin, rng)
    if not behind:
        canvas.fill(canvas.polygon(head.at(scalp)), np.array(skin) * 0.95 if bald else style.color * 0.5, hair=not bald)
        draw_face(canvas, head, skin, rng)
    elif bald or style.fall < 0.4:
        canvas.fill(canvas.polygon(head.at(scalp)), np.array(skin) * 0.9)
    if covered:
        draw_covered(canvas, head, rng)
        return
    if not bald:
        if behind:
            hair_body(canvas, head, style, rng)
            draw_hair(canvas, head, style, (0.0, 1.05), rng)
        else:
            # Hair in front of the face runs in the outer shells only; on top it covers the skull.
            draw_hair(canvas, head, style, (0.88, 1.08), rng)
            draw_crown(canvas, head, style, rng)
        if rng.random() < 0.12 and style.kind not in ("kinky", "short"):
            draw_bun(canvas, head, style, rng)
    if rng.random() < 0.12:
        draw_hat(canvas, head, style.volume, rng)


def draw_crown(canvas: Canvas, head: Head, style: Style, rng: np.random.Generator) -> None:
    """Short strands from the hairline back over the top, and sometimes a fringe over the forehead."""
    count = int(np.clip(head.radius * 6, 60, 500))
    x = rng.uniform(-0.95, 0.95, (count, 1)) + 0.3 * head.turn
    t = np.linspace(0, 1, 8)[None]
    root = -0.72 + 0.35 * x**2
    if rng.random() < 0.3:  # fringe
        y = root - 0.3 + t * rng.uniform(0.3, 0.75) * rng.uniform(0.8, 1.1, (count, 1))
        x = x * 0.85 + 0.12 * t * rng.normal(size=(count, 1))
    else:
        y = root - t * rng.uniform(0.3, 0.55, (count, 1)) * (1 + style.volume)
        x = x + (style.parting - x) * 0.35 * t + 0.03 * rng.normal(size=(count, 1))
    swing = style.wave * 0.5 * np.sin(6 * t + rng.uniform(0, 6, (count, 1)))
    paths = head.at(np.stack([x + swing, y], axis=2))
    canvas.strokes(paths, strand_colors(paths, head, style, 3, rng), 1 if head.radius < 70 else 2)


def draw_bun(canvas: Canvas, head: Head, style: Style, rng: np.random.Generator) -> None:
    center, size = np.array([rng.uniform(-0.5, 0.5), -1.35 - style.volume]), rng.uniform(0.3, 0.6)
    canvas.fill(canvas.polygon(head.at(ellipse(center, (size, size * 0.9)))), style.color * 0.6, hair=True)
    count = int(np.clip(head.radius * 4, 40, 300))
    turn = rng.uniform(0, 2 * np.pi, (count, 1)) + np.linspace(0, 2.4, 14)[None]
    out = size * np.sqrt(rng.uniform(0.05, 1.1, (count, 1)))
    paths = head.at(center + np.stack([out * np.cos(turn), 0.9 * out * np.sin(turn)], axis=2))
    canvas.strokes(paths, strand_colors(paths, head, style, 3, rng), 1)


def render_person(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One picture: (size, size, 3) uint8 RGB and its hair alpha (size, size) uint8.

    Mostly one person, sometimes two or three, some seen from behind or from the side, some bald or covered; one
    picture in ten has fur, grass or scenery only.
    """
    canvas = Canvas(draw_background(size, rng), np.zeros((size, size), np.float32))
    paint(canvas, rng)
    light = draw_light(size, rng)
    image = np.clip(canvas.image * light, 0, 255)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.8)) + rng.normal(0, rng.uniform(0.5, 5), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), np.round(canvas.mask * 255).astype(np.uint8)


def render_layers(size: int, rng: np.random.Generator) -> Layers:
    """Such a picture as hair and all the rest apart, its alpha as blurred as the picture is."""
    canvas = LayeredCanvas(
        draw_background(size, rng), *(np.zeros((size, size, *more), np.float32) for more in ((), (3,)))
    )
    paint(canvas, rng)
    light = draw_light(size, rng)
    dimmed = light / np.maximum(1, (canvas.image * light).max(axis=2, keepdims=True) / 255)  # nothing may clip
    sigma = rng.uniform(0.3, 0.8)
    hair, alpha, behind = (
        cv2.GaussianBlur(part.astype(np.float32), (0, 0), sigma)
        for part in (canvas.hair * dimmed, canvas.mask, (canvas.image - canvas.hair) * dimmed)
    )
    noise = rng.normal(0, rng.uniform(0.5, 5), canvas.image.shape).astype(np.float32)
    return Layers(hair, np.clip(alpha, 0, 1), behind, noise)


def draw_light(size: int, rng: np.random.Generator) -> np.ndarray:
    """Uneven light over the whole picture, (size, size, 1), about 1."""
    return 1 + rng.uniform(0, 0.15) * blobs(size, size / 1.5, rng)[..., None]


def paint(canvas: Canvas, rng: np.random.Generator) -> None:
    """Whatever the picture shows, in front of the background."""
    size = len(canvas.mask)
    if rng.random() < 0.1:
        canvas.image[:] = render_surface(size, rng)[0]
        return
    people = rng.choice([1, 2, 3], p=[0.8, 0.14, 0.06])
    for radius in np.sort(size * np.exp(rng.uniform(np.log(0.05), np.log(0.3 if people == 1 else 0.16), people))):
        turn = float(
            rng.choice([rng.uniform(-0.3, 0.3), rng.choice([-1, 1]) * rng.uniform(0.4, 1), 2], p=[0.5, 0.22, 0.28])
        )
        center = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.62)]) * size
        draw_person(canvas, Head(center, radius, turn), rng)
