"""Pictures of hair whose alpha is known exactly: strands drawn over photos and textures.

    python -m synthetic.strands --out FOLDER [--limit N]

Thousands of strands of varying width, curl, color and transparency are drawn at SUPERSAMPLING times the picture's
size, laid over each other from the back to the front, and averaged down; so is their alpha, which makes it exact to
the last level of the antialiasing. The seed is the picture's number: the same pictures on every machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from .canvas import FIXED_POINT, Layers, fixed

SUPERSAMPLING = 4
TILE = 512  # pixels of the picture drawn at a time
POINTS = 48  # of a strand's path
DEPTHS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 1.0))  # layers, from the back to the front
SIZES = ((16, 1.0), (8, 3.0), (4, 6.0), (3, 12.0), (2, 24.0))  # how many pictures, megapixels
STYLES = ("straight", "wavy", "curly", "kinky", "short", "wisps")
COLORS = (
    (24, 20, 18), (52, 36, 28), (92, 62, 40), (142, 104, 66), (206, 176, 126), (226, 208, 172), (150, 72, 36),
    (176, 174, 172), (58, 84, 170), (206, 84, 150),
)  # fmt: skip
OPACITIES = (1.0, 0.85, 0.6)  # of whole strands: fine, light hair lets through what is behind it
BACKGROUNDS = ("coffee", "rocket", "chelsea", "motorcycle", "grass", "brick", "gravel", "paper", "wall")


@dataclass(frozen=True)
class Scene:
    """One picture to draw. megapixels: its size. seed: decides everything random in it."""

    number: int
    megapixels: float
    style: str
    background: str

    @property
    def name(self) -> str:
        return f"{self.number:02}-{self.style}-{self.background}-{self.megapixels:g}mp"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels: 4 to 3, upright every second time."""
        long, short = round((self.megapixels * 1e6 * 4 / 3) ** 0.5), round((self.megapixels * 1e6 * 3 / 4) ** 0.5)
        return (long, short) if self.number % 2 else (short, long)


@dataclass(frozen=True)
class Strands:
    """paths: (n, POINTS, 2) float32, x, y in pixels. widths: (n,) pixels. colors: (n, 3, 3), 0…255, root to tip.
    depths: (n,) in 0…1, 1 in front. opacities: (n,)."""

    paths: np.ndarray
    widths: np.ndarray
    colors: np.ndarray
    depths: np.ndarray
    opacities: np.ndarray


def scenes() -> list[Scene]:
    """All pictures, the small ones first."""
    sizes = [megapixels for count, megapixels in SIZES for _ in range(count)]
    return [
        Scene(number, megapixels, STYLES[number % len(STYLES)], BACKGROUNDS[number % len(BACKGROUNDS)])
        for number, megapixels in enumerate(sizes)
    ]


def render(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The picture (h, w, 3) uint8 RGB and the alpha of its hair (h, w) float32, 0…1."""
    layers = render_layers(scene)
    return layers.picture(), layers.alpha


def render_layers(scene: Scene) -> Layers:
    """The picture as hair and background apart."""
    rng = np.random.default_rng(scene.number)
    width, height = scene.size
    behind = draw_background(scene, rng)
    scalp, strands = grow(scene, rng)
    alpha, hair = np.zeros((height, width), np.float32), np.zeros((height, width, 3), np.float32)
    for rows, columns in tiles(height, width):
        hair[rows, columns], alpha[rows, columns] = draw_tile(scalp, strands, rows, columns)
    behind *= 1 - alpha[..., None]
    noise = rng.normal(0, rng.uniform(0.5, 3), (height, width, 1)).astype(np.float32)  # a sensor's
    return Layers(hair, alpha, behind, noise)


def tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield slice(top, min(top + TILE, height)), slice(left, min(left + TILE, width))


def draw_background(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) float32, 0…255: a photo of scikit-image's own, or paper or a wall, out of focus or not."""
    width, height = scene.size
    if scene.background in ("paper", "wall"):
        coarse = rng.normal(0, 1, (3, 4)) if scene.background == "paper" else rng.normal(0, 1, (24, 32))
        shade = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        return rng.uniform(40, 225, 3).astype(np.float32) + 14 * shade[..., None]
    if scene.background == "motorcycle":
        photo = skimage.data.stereo_motorcycle()[0]
    else:
        photo = getattr(skimage.data, scene.background)()
    if photo.ndim == 2:
        photo = photo[..., None] * np.array(rng.uniform(0.6, 1, 3))
    photo = cv2.resize(photo[..., :3].astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    sharp = rng.choice([0.0, 0.002, 0.008]) * max(width, height)
    return np.clip(cv2.GaussianBlur(photo, (0, 0), sharp) if sharp else photo, 0, 255)


def grow(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, Strands]:
    """The scalp, a polygon (k, 2) covered with hair throughout and empty for wisps, and all strands, in pixels."""
    width, height = scene.size
    unit = min(width, height)
    center = np.array([width * rng.uniform(0.4, 0.6), height * rng.uniform(0.32, 0.45)])
    radius = unit * rng.uniform(0.16, 0.24)
    count = {"short": 7000, "kinky": 9000, "wisps": 500}.get(scene.style, 5000)
    if scene.style == "wisps":  # single strands and locks anywhere
        root = rng.uniform(-0.1, 1.1, (count, 2)) * (width, height)
        lock = rng.integers(24, size=count)
        root = root[lock] + rng.normal(0, 0.03 * unit, (count, 2))
        heading = rng.uniform(0, 2 * np.pi, 24)[lock] + rng.normal(0, 0.15, count)
    else:
        turn = rng.uniform(np.pi * 0.85, np.pi * 2.15, count)
        out = np.sqrt(rng.uniform(0, 1, count))
        root = center + radius * out[:, None] * np.stack([np.cos(turn), 1.15 * np.sin(turn)], axis=1)
        heading = turn + rng.normal(0, 0.25, count)
    paths = walk(root, heading, scene.style, radius, unit, rng)
    base = np.array(COLORS[rng.integers(len(COLORS))], np.float64)
    tone = np.exp(rng.normal(0, 0.22, (count, 1, 1)))
    along = np.array([0.75, 1.05, rng.uniform(0.9, 1.3)])[None, :, None]
    colors = base * tone * along + 45 * rng.random((count, 1, 1)) * np.array([0, 1, 0.3])[None, :, None]
    thickness = unit / 1000 * rng.uniform(0.5, 1.4)  # of a strand: a thousandth of a portrait's side, about
    angle = np.linspace(0, 2 * np.pi, 90)
    scalp = center + 0.96 * radius * np.stack([np.cos(angle), 1.15 * np.sin(angle)], axis=1)
    scalp = scalp[scalp[:, 1] < center[1] + 0.5 * radius]
    strands = Strands(
        paths=paths.astype(np.float32),
        widths=np.clip(thickness * np.exp(rng.normal(0, 0.35, count)), 0.3, None),
        colors=np.clip(colors, 0, 255),
        depths=rng.random(count),
        opacities=rng.choice(OPACITIES, count, p=(0.6, 0.25, 0.15)),
    )
    return scalp[:0] if scene.style == "wisps" else scalp, strands


def walk(
    root: np.ndarray, heading: np.ndarray, style: str, radius: float, unit: float, rng: np.random.Generator
) -> np.ndarray:
    """Paths (n, POINTS, 2) from the roots (n, 2): strands start off along `heading`, radians, and fall, curl, stray."""
    count, t = len(root), np.linspace(0, 1, POINTS)[None]
    length = radius * {"short": 0.5, "kinky": 0.9, "wisps": 2.2, "curly": 2.4}.get(style, 2.8)
    length = length * rng.uniform(0.55, 1.15, (count, 1))
    gravity = {"short": 0.3, "kinky": 0.1, "wisps": 0.3}.get(style, 1.0)
    stray = rng.random((count, 1)) < 0.06  # flyaways
    fall = np.where(stray, 0.3, gravity) * np.clip(1.6 * t, 0, 1)
    # Directions turn from the heading to straight down.
    x = np.cos(heading)[:, None] * (1 - fall) + 0.08 * rng.normal(size=(count, 1))
    y = np.sin(heading)[:, None] * (1 - fall) + fall
    norm = np.hypot(x, y) + 1e-6
    step = length / (POINTS - 1)
    path = np.stack([np.cumsum(step * x / norm, axis=1), np.cumsum(step * y / norm, axis=1)], axis=2)
    size, turns = {
        "wavy": (0.06, 2.5), "curly": (0.1, 6), "kinky": (0.07, 9), "wisps": (0.08, 1.5), "short": (0.01, 2),
    }.get(style, (0.012, 1.5))  # fmt: skip
    lock = rng.integers(40, size=count)  # strands of a lock swing together
    phase = rng.uniform(0, 2 * np.pi, 40)[lock][:, None] + rng.normal(0, 0.5, (count, 1))
    swing = radius * size * np.exp(rng.normal(0, 0.3, (count, 1))) * np.minimum(1, 4 * t)
    swirl = 2 * np.pi * turns * rng.uniform(0.8, 1.2, 40)[lock][:, None] * t + phase
    across = np.stack([-y / norm, x / norm], axis=2)
    along = np.stack([x / norm, y / norm], axis=2)
    path += (swing * np.sin(swirl))[..., None] * across + (0.7 * swing * np.cos(swirl))[..., None] * along
    drift = np.cumsum(rng.normal(0, unit * 0.0006, (count, POINTS, 2)), axis=1) * np.where(stray, 3, 1)[..., None]
    return root[:, None] + path + drift


def draw_tile(scalp: np.ndarray, strands: Strands, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Color times alpha (h, w, 3), 0…255, and alpha (h, w) of one tile, float32."""
    scale, corner = SUPERSAMPLING, np.array([columns.start, rows.start])
    height, width = rows.stop - rows.start, columns.stop - columns.start
    size = (height * scale, width * scale)
    color, clear = np.zeros((*size, 3), np.float32), np.ones(size, np.float32)

    def lay_over(layer: np.ndarray, cover: np.ndarray, opacity: float) -> None:
        a = cover.astype(np.float32) * np.float32(opacity / 255)
        np.multiply(clear, 1 - a, out=clear)
        np.multiply(color, (1 - a)[..., None], out=color)
        np.add(color, layer * a[..., None], out=color)

    cover, dark = np.zeros(size, np.uint8), strands.colors.mean(axis=(0, 1)) * 0.5
    if len(scalp):
        cv2.fillPoly(cover, [fixed((scalp - corner) * scale)], 255, cv2.LINE_AA, FIXED_POINT)
        lay_over(np.broadcast_to(dark.astype(np.float32), (*size, 3)), cover, 1.0)
    low, high = strands.paths.min(axis=1), strands.paths.max(axis=1)
    reach = strands.widths[:, None] + 1
    here = (low - reach < (columns.stop, rows.stop)).all(axis=1) & (high + reach > corner).all(axis=1)
    for near, far in DEPTHS:
        for opacity in OPACITIES:
            chosen = np.flatnonzero(
                here & (strands.depths >= near) & (strands.depths < far) & (strands.opacities == opacity)
            )
            if chosen.size:
                layer, cover = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
                for i in chosen:
                    draw_strand(
                        layer, cover, (strands.paths[i] - corner) * scale, strands.widths[i] * scale, strands.colors[i]
                    )
                lay_over(layer, cover, opacity)
    shrink = (width, height)
    return (
        cv2.resize(color, shrink, interpolation=cv2.INTER_AREA),
        cv2.resize(1 - clear, shrink, interpolation=cv2.INTER_AREA),
    )


def draw_strand(layer: np.ndarray, cover: np.ndarray, path: np.ndarray, width: float, colors: np.ndarray) -> None:
    """One strand onto color and coverage, both uint8: it tapers and changes its color from the root to the tip."""
    points = fixed(path)
    cuts = (0, POINTS // 2, POINTS * 3 // 4, POINTS - 1)
    for part, taper in enumerate((1.0, 0.75, 0.5)):
        piece, thick = [points[cuts[part] : cuts[part + 1] + 1]], max(1, round(width * taper))
        # The color is drawn wider and hard-edged, so that it never fades where the coverage does.
        cv2.polylines(layer, piece, False, tuple(map(float, colors[part])), thick + 2, cv2.LINE_8, FIXED_POINT)
        cv2.polylines(cover, piece, False, 255, thick, cv2.LINE_AA, FIXED_POINT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for NAME.png and NAME-alpha.png (16 bits)")
    parser.add_argument("--limit", type=int, help="only the first so many")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for scene in scenes()[: args.limit]:
        picture, alpha = render(scene)
        cv2.imwrite(str(args.out / f"{scene.name}.png"), picture[..., ::-1])
        cv2.imwrite(str(args.out / f"{scene.name}-alpha.png"), np.round(alpha * 65535).astype(np.uint16))
        print(scene.name, f"{picture.shape[1]}x{picture.shape[0]}", f"{alpha.mean():.0%} hair", flush=True)


if __name__ == "__main__":
    main()
