"""Pictures of animals and things, composed from free ones: python -m models.training.negatives PICTURES... --out DATA

PICTURES are folders of freely licensed pictures that show no people: cut-outs (PNG with transparency; Debian's package
tuxpaint-stamps-default holds hundreds, many of them animals) and sceneries (its packages mate-backgrounds,
gnome-backgrounds, ukui-wallpapers, plasma-workspace-wallpapers and lomiri-wallpapers-16.04). One to four cut-outs go
before a piece of a scenery or a drawn surface. Written to DATA/things, with empty masks, the same for the same folders.
(The folder and its files keep the name of the first version, as the split goes by the files' stems.)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from synthetic.surfaces import draw_background

NAME = "things"  # of the data set
COUNT = 800
SIDE = 448
SEED = 7
SMALLEST_SCENERY = 900  # pixels; larger pictures without transparency are sceneries
LARGEST = 1200  # pixels; pictures are kept in memory no larger than this
ANIMALS_SHARE = 0.6  # of the cut-outs: fur is what hair is mixed up with most
# What shows people or their hair: by words in the path.
LEFT_OUT = ("people", "screenshot", "_mirror.", "_flip.", "santa", "christmas_toy", "cartoon/lion")


def read_picture(path: Path) -> np.ndarray | None:
    """RGBA, (h, w, 4) uint8, no larger than LARGEST; None for what cannot be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or min(pixels.shape[:2]) < 32:
        return None
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGBA)
    scale = LARGEST / max(pixels.shape[:2])
    return pixels if scale >= 1 else cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def read_pictures(folders: list[Path]):
    """Animals, other cut-outs and sceneries, each a list of RGBA pictures.

    Raises FileNotFoundError if the folders lack one of the three.
    """
    animals, others, sceneries, seen = [], [], [], set()
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    for path in files:
        name = str(path).lower()
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp") or any(word in name for word in LEFT_OUT):
            continue
        if path.parent.name.startswith("images") and path.parent in seen:  # one wallpaper in several sizes
            continue
        picture = read_picture(path)
        if picture is None:
            continue
        cut = (picture[..., 3] < 128).mean() > 0.05
        if not cut and max(picture.shape[:2]) >= SMALLEST_SCENERY:
            sceneries.append(picture)
            seen.add(path.parent)
        elif cut:
            (animals if "animals" in name and "cartoon" not in name else others).append(picture)
    if not (animals and others and sceneries):
        raise FileNotFoundError(
            "No animals, no other cut-outs or no sceneries: name the folders that negatives.py lists."
        )
    return animals, others, sceneries


def compose(animals, others, sceneries, rng: np.random.Generator) -> np.ndarray:
    """One picture, (SIDE, SIDE, 3) uint8 RGB."""
    if rng.random() < 0.6:
        scenery = sceneries[rng.integers(len(sceneries))][..., :3]
        side = int(min(scenery.shape[:2]) * rng.uniform(0.4, 1))
        top, left = (int(rng.integers(0, length - side + 1)) for length in scenery.shape[:2])
        piece = scenery[top : top + side, left : left + side]
        image = cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    else:
        image = draw_background(SIDE, rng)
    for _ in range(rng.integers(1, 5)):
        among = animals if rng.random() < ANIMALS_SHARE else others
        place(image, among[rng.integers(len(among))], rng)
    return np.clip(image, 0, 255).astype(np.uint8)


def place(image: np.ndarray, cut_out: np.ndarray, rng: np.random.Generator) -> None:
    """Put a cut-out somewhere on the image, in place; from a fifth of its side to beyond its edges."""
    side = SIDE * np.exp(rng.uniform(np.log(0.2), np.log(1.6)))
    scale = side / max(cut_out.shape[:2])
    cut_out = cv2.resize(
        cut_out, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )
    if rng.random() < 0.5:
        cut_out = cut_out[:, ::-1]
    height, width = cut_out.shape[:2]
    center = rng.uniform(0.15, 0.85, 2) * SIDE
    top, left = int(center[0] - height / 2), int(center[1] - width / 2)
    rows, columns = slice(max(0, top), min(SIDE, top + height)), slice(max(0, left), min(SIDE, left + width))
    piece = cut_out[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left].astype(np.float32)
    image[rows, columns] += piece[..., 3:] / 255 * (piece[..., :3] - image[rows, columns])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder of data sets (see datasets.py)")
    args = parser.parse_args()
    animals, others, sceneries = read_pictures(args.pictures)
    print(f"{len(animals)} animals, {len(others)} other cut-outs, {len(sceneries)} sceneries")
    folder = args.out / NAME
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for i in range(COUNT):
        image = compose(animals, others, sceneries, np.random.default_rng((SEED, i)))
        cv2.imwrite(str(folder / "images" / f"{NAME}_{i:04}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        cv2.imwrite(str(folder / "masks" / f"{NAME}_{i:04}.png"), np.zeros((SIDE, SIDE), np.uint8))


if __name__ == "__main__":
    main()
