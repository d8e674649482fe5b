"""Share of pixels taken for hair in pictures that hold no human hair.

    python benchmarks/no_hair.py [--model NAME] [--quality fast] [--sheet FILE.png] [--json FILE]

The pictures are the free photographs that come with scikit-image and show no person, and scenes drawn by program:
fur, grass, wicker, knitwear, fringes, wood, landscapes, and people who are bald or covered, some with beards. They
are the same at every run. `--sheet` draws all of them with what was taken for hair in magenta.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import skimage.io

from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_matte
from hairmask_core.segmentation.segmenter import open_model
from hairmask_core.segmentation.whole_image import QUALITIES

sys.path.append(str(Path(__file__).resolve().parent.parent))  # synthetic/
from synthetic.canvas import Canvas, blobs, ellipse  # noqa: E402
from synthetic.people import (  # noqa: E402
    SKINS,
    Head,
    draw_beard,
    draw_covered,
    draw_face,
    draw_hat,
    draw_shoulders,
)  # fmt: skip
from synthetic.surfaces import draw_background, draw_cloth, draw_texture  # noqa: E402

SIDE = 512
PHOTOGRAPHS = (
    "brick.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png", "moon.png", "motorcycle_left.png", "page.png",
    "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip

Random = np.random.Generator


def blank(color) -> Canvas:
    return Canvas(np.full((SIDE, SIDE, 3), color, np.float32), np.zeros((SIDE, SIDE), np.float32))


def blades(rng: Random, color, angle: float, spread: float, length: float, count: int, width: int, curl=0.0):
    """Strands all over the picture: fur, grass, bristles. angle, spread: radians. length: of the picture's side."""
    canvas, steps = blank(np.multiply(color, 0.45)), 10
    root = rng.uniform(-0.1, 1.1, (count, 2)) * SIDE
    turn = angle + spread * rng.normal(size=(count, 1)) + curl * rng.normal(size=(count, 1)) * np.linspace(0, 1, steps)
    stride = SIDE * length / steps * rng.uniform(0.6, 1.2, (count, 1, 1))
    paths = root[:, None] + np.cumsum(stride * np.stack([np.cos(turn), np.sin(turn)], axis=2), axis=1)
    shade = np.clip(np.multiply(color, rng.uniform(0.5, 1.35, (count, 1, 1))), 0, 255)
    order = np.argsort(root[:, 1])
    canvas.strokes(paths[order], shade[order].astype(np.float32), width, hair=False)
    return canvas.image


def animal(rng: Random, color) -> np.ndarray:
    """A furry head with ears, eyes and a nose, before scenery."""
    image, fur = draw_background(SIDE, rng), blades(rng, color, np.pi / 2, 0.5, 0.06, 9000, 1)
    canvas, head = Canvas(image, np.zeros((SIDE, SIDE), np.float32)), Head(np.array([256.0, 270.0]), 150, 0)
    for ear in (-1, 1):
        canvas.fill(canvas.polygon(head.at([(ear * 0.35, -0.7), (ear * 0.8, -1.35), (ear * 0.95, -0.4)])), fur * 0.8)
    canvas.fill(canvas.polygon(head.at(ellipse((0, 0), (1.1, 1)))), fur)
    canvas.fill(canvas.polygon(head.at(ellipse((0, 1.7), (1.4, 1)))), fur * 0.9)
    for eye in (-1, 1):
        canvas.fill(canvas.polygon(head.at(ellipse((eye * 0.42, -0.1), (0.17, 0.14)))), (190, 170, 60))
        canvas.fill(canvas.polygon(head.at(ellipse((eye * 0.42, -0.1), (0.06, 0.13)))), (8, 8, 8))
    canvas.fill(canvas.polygon(head.at(ellipse((0, 0.4), (0.16, 0.1)))), (60, 40, 40))
    return canvas.image


def person(rng: Random, beard=False, hat=False, scarf=False, turn=0.0, radius=110.0) -> np.ndarray:
    """Someone bald, bearded or covered; no scalp hair is seen."""
    canvas = Canvas(draw_background(SIDE, rng), np.zeros((SIDE, SIDE), np.float32))
    head, skin = Head(np.array([256.0, 230.0]), radius, turn), SKINS[rng.integers(len(SKINS))]
    draw_shoulders(canvas, head, skin, rng)
    canvas.fill(canvas.polygon(head.at(ellipse((0, -0.1), (1.0, 1.2)))), np.array(skin) * 0.97)
    draw_face(canvas, head, skin, rng)
    if beard:
        draw_beard(canvas, head, rng)
    if hat:
        draw_hat(canvas, head, 0.05, rng)
    if scarf:
        draw_covered(canvas, head, rng)
    return canvas.image


def wicker(rng: Random) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    over = np.sign(np.sin(x / 14) * np.sin(y / 14))
    cane = np.where(over > 0, np.abs(np.sin(y / 4.5)), np.abs(np.sin(x / 4.5)))
    return (0.35 + 0.65 * cane)[..., None] * np.array([188, 146, 92]) + 6 * blobs(SIDE, 3, rng)[..., None]


def curtain(rng: Random) -> np.ndarray:
    x = np.arange(SIDE) + np.cumsum(rng.normal(0, 0.4, SIDE))
    folds = 0.6 + 0.25 * np.sin(x / 17) + 0.15 * np.sin(x / 7.3)
    return folds[None, :, None] * np.array([150, 60, 70]) + 4 * blobs(SIDE, 2, rng)[..., None]


def ropes(rng: Random) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    across = (x % 64) / 64 - 0.5
    twist = 0.7 + 0.3 * np.sin((y + 90 * across) / 5)
    return (twist * np.sqrt(np.clip(1 - (2 * across) ** 2, 0.02, 1)))[..., None] * np.array([200, 175, 130])


def spaghetti(rng: Random) -> np.ndarray:
    canvas = blank((170, 120, 60))
    for _ in range(260):
        path = rng.uniform(0, SIDE, 2) + np.cumsum(np.cumsum(rng.normal(0, 1.3, (40, 2)), axis=0), axis=0)
        canvas.strokes(path[None], np.array([[[232, 200, 120]]]) * rng.uniform(0.75, 1.08), 6, hair=False)
    return canvas.image


def feathers(rng: Random) -> np.ndarray:
    canvas = blank((40, 50, 70))
    for _ in range(60):
        root, angle, length = rng.uniform(0, SIDE, 2), rng.uniform(0, 6.3), rng.uniform(60, 140)
        way, t = np.array([np.cos(angle), np.sin(angle)]), np.linspace(0, 1, 60)[:, None]
        side = np.array([-way[1], way[0]]) * length * 0.22 * np.sin(np.pi * t**0.7)
        shaft = root + way * length * t
        tip = np.concatenate([shaft + side, shaft - side]) + way * 10
        color = np.array([60, 110, 150]) * rng.uniform(0.5, 1.5) * rng.uniform(0.8, 1.15, (120, 1, 1))
        canvas.strokes(np.stack([np.concatenate([shaft, shaft]), tip], axis=1), np.clip(color, 0, 255), 1, hair=False)
    return canvas.image


def fringes(rng: Random) -> np.ndarray:
    """The fringed hem of a shawl."""
    canvas = blank((180, 170, 160))
    x = np.linspace(0, SIDE, 150)[:, None] + np.cumsum(rng.normal(0, 1.2, (150, 12)), axis=1)
    y = 250 + np.linspace(0, 170, 12)[None] * rng.uniform(0.85, 1.1, (150, 1))
    color = np.array([120, 30, 40]) * rng.uniform(0.7, 1.2, (150, 1, 1))
    canvas.strokes(np.stack([x, y], axis=2), color, 2, hair=False)
    canvas.image[:255] = draw_cloth(SIDE, rng)[:255]
    return canvas.image


def landscape(rng: Random, sky, ground) -> np.ndarray:
    """Ridges one behind the other under a clouded sky."""
    y = np.linspace(0, 1, SIDE)[:, None, None]
    cloud = np.clip(blobs(SIDE, 150, rng) + 0.5 * blobs(SIDE, 50, rng), 0, 2)[..., None]
    image = np.array(sky) * (0.75 + 0.35 * y) + 45 * cloud
    for i, level in enumerate(np.linspace(0.4, 0.9, 6)):
        ridge = np.cumsum(rng.normal(0, 2.2, SIDE)) + SIDE * level
        below = np.arange(SIDE)[:, None] > cv2.GaussianBlur(ridge[None], (0, 0), 3)[0][None]
        far = 1 - (i + 1) / 6
        rock = np.array(ground) * (1 - 0.5 * far) + np.array(sky) * 0.5 * far + 10 * blobs(SIDE, 5, rng)[..., None]
        image = np.where(below[..., None], rock, image)
    return image


def water(rng: Random) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    wave = np.sin(np.maximum(y + 14 * blobs(SIDE, 60, rng), 0) ** 1.15 / 11) + 0.6 * blobs(SIDE, 9, rng)
    return np.array([40, 90, 120]) + 28 * wave[..., None] + (y / SIDE)[..., None] * 30


def waterfall(rng: Random) -> np.ndarray:
    streaks = cv2.blur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (1, 121)) * 8
    image = np.array([190, 200, 205]) + 28 * streaks[..., None] + 8 * blobs(SIDE, 40, rng)[..., None]
    image[:, :110] = np.array([60, 66, 50]) + 22 * blobs(SIDE, 14, rng)[:, :110, None]
    image[:, 400:] = np.array([52, 60, 44]) + 22 * blobs(SIDE, 14, rng)[:, 400:, None]
    return image


def city(rng: Random) -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), (14, 18, 40), np.float32)
    for left in range(0, SIDE, 36):
        top = int(rng.uniform(120, 400))
        image[top:, left : left + 34] = rng.uniform(14, 40, 3)
        lit = rng.random((SIDE, SIDE)) < 0.4
        windows = np.kron(lit[:64, :6], np.ones((8, 6)))[: SIDE - top, :34] > 0
        windows[::8], windows[:, ::6] = False, False
        image[top : top + windows.shape[0], left : left + windows.shape[1]][windows[:, : SIDE - left]] = (240, 210, 120)
    return image


def fireworks(rng: Random) -> np.ndarray:
    canvas = blank((6, 6, 16))
    for _ in range(5):
        center, angle = rng.uniform(90, 420, 2), rng.uniform(0, 2 * np.pi, (160, 1))
        t = np.linspace(0.2, 1, 12)[None]
        out = rng.uniform(50, 130, (160, 1)) * t
        paths = center + np.stack([out * np.cos(angle), out * np.sin(angle) + 30 * t**2], axis=2)
        canvas.strokes(paths, np.tile(rng.uniform(90, 255, (1, 1, 3)), (160, 1, 1)), 1, hair=False)
    return canvas.image


def zebra(rng: Random) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    stripes = np.sin((x + 60 * blobs(SIDE, 120, rng)) / 12) > 0
    return (np.where(stripes, 225, 30) + 8 * blobs(SIDE, 2, rng))[..., None].repeat(3, 2)


SCENES: dict[str, Callable[[Random], np.ndarray]] = {
    "short fur": lambda r: blades(r, (150, 110, 70), 1.4, 0.35, 0.05, 12000, 1),
    "long fur": lambda r: blades(r, (190, 180, 165), 1.6, 0.3, 0.2, 4000, 1, 0.4),
    "black fur": lambda r: blades(r, (46, 42, 44), 1.2, 0.4, 0.1, 8000, 1, 0.3),
    "red fur": lambda r: blades(r, (178, 92, 40), 2.0, 0.3, 0.12, 6000, 2, 0.3),
    "brown animal": lambda r: animal(r, (130, 96, 62)),
    "gray animal": lambda r: animal(r, (140, 140, 146)),
    "meadow": lambda r: blades(r, (100, 140, 50), -1.5, 0.25, 0.15, 5000, 1, 0.3),
    "dry grass": lambda r: blades(r, (190, 165, 100), -1.4, 0.4, 0.2, 4000, 1, 0.3),
    "wheat": lambda r: blades(r, (205, 165, 80), -1.57, 0.1, 0.4, 2500, 2, 0.1),
    "hay": lambda r: blades(r, (200, 175, 110), 0.2, 1.5, 0.3, 3000, 2),
    "broom": lambda r: blades(r, (160, 120, 60), 1.57, 0.05, 0.8, 1500, 2),
    "brush": lambda r: blades(r, (225, 225, 220), 1.57, 0.02, 0.5, 2000, 1),
    "coconut fiber": lambda r: blades(r, (120, 84, 52), 0.0, 3.0, 0.25, 5000, 1, 1.0),
    "wicker": wicker,
    "curtain": curtain,
    "ropes": ropes,
    "spaghetti": spaghetti,
    "feathers": feathers,
    "shawl with fringes": fringes,
    "cloth": lambda r: draw_cloth(SIDE, r),
    "more cloth": lambda r: draw_cloth(SIDE, r),
    "texture 1": lambda r: draw_texture(SIDE, r),
    "texture 2": lambda r: draw_texture(SIDE, r),
    "texture 3": lambda r: draw_texture(SIDE, r),
    "scenery": lambda r: draw_background(SIDE, r),
    "garden": lambda r: draw_background(SIDE, r),
    "mountains": lambda r: landscape(r, (140, 170, 210), (80, 80, 84)),
    "dunes": lambda r: landscape(r, (150, 180, 215), (205, 160, 100)),
    "hills at dusk": lambda r: landscape(r, (220, 130, 90), (40, 36, 44)),
    "forest ridge": lambda r: landscape(r, (170, 190, 200), (44, 66, 40)),
    "water": water,
    "waterfall": waterfall,
    "city at night": city,
    "fireworks": fireworks,
    "zebra": zebra,
    "bald": person,
    "bald, from aside": lambda r: person(r, turn=0.8),
    "bald with a beard": lambda r: person(r, beard=True),
    "another beard": lambda r: person(r, beard=True, turn=0.3),
    "hat and beard": lambda r: person(r, beard=True, hat=True),
    "headscarf": lambda r: person(r, scarf=True),
    "headscarf, small": lambda r: person(r, scarf=True, radius=50.0),
    "bald, near": lambda r: person(r, radius=190.0),
}


def scenes() -> Iterator[tuple[str, np.ndarray]]:
    """Name and picture, (H, W, 3) uint8 RGB, of each; the same at every run."""
    folder = Path(skimage.data.__file__).parent
    for name in PHOTOGRAPHS:
        pixels = skimage.io.imread(folder / name)
        if pixels.ndim == 2 or pixels.shape[2] < 3:  # gray, perhaps with alpha
            pixels = pixels.reshape(*pixels.shape[:2], -1)[..., :1].repeat(3, 2)
        yield name, np.ascontiguousarray(pixels[..., :3])
    for name, draw in SCENES.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        yield name, np.clip(cv2.GaussianBlur(np.asarray(draw(rng), np.float32), (0, 0), 0.6), 0, 255).astype(np.uint8)


def contact_sheet(tiles: list[tuple[str, np.ndarray, np.ndarray]], side: int = 160, columns: int = 10) -> np.ndarray:
    """Pictures with hair (bool) in magenta and names below, (H, W, 3) uint8 RGB."""
    cells = []
    for name, picture, hair in tiles:
        shown = np.where(hair[..., None], picture // 3 + np.array([170, 0, 170], np.uint8), picture)
        cell = np.full((side + 16, side, 3), 255, np.uint8)
        cell[:side] = cv2.resize(shown.astype(np.uint8), (side, side), interpolation=cv2.INTER_AREA)
        cv2.putText(cell, name[:22], (3, side + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
        cells.append(cell)
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model's name; the default one otherwise")
    parser.add_argument("--quality", choices=QUALITIES, default="fast")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = open_model(args.model, quality=args.quality, device="cpu")
    tiles = []
    for name, picture in scenes():
        tiles.append((name, picture, find_matte(Photo(picture), model).matte > 0.5))
    shares = {name: float(hair.mean()) for name, _, hair in tiles}
    mean = float(np.mean(list(shares.values())))
    print(f"{model.card.name}, {args.quality}: {len(shares)} pictures without human hair")
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        if share > 0:
            print(f"  {name:<24}{100 * share:6.2f} %")
    print(f"  {'mean of all':<24}{100 * mean:6.2f} %")
    if args.json:
        args.json.write_text(json.dumps({"mean": mean, "pictures": shares}, indent=1) + "\n")
    if args.sheet:
        cv2.imwrite(str(args.sheet), contact_sheet(tiles)[..., ::-1])


if __name__ == "__main__":
    main()
