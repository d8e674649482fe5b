"""Before/after picture of one photo: python -m hairmask_core.cli.demo PHOTO OUT.png [SHADE ...]"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from ..errors import HairmaskError
from ..photo.files import read_photo, write_image
from ..photo.pixels import Photo, from_float, to_float
from ..pipeline import find_hair, recolor, require_hair
from ..segmentation.segmenter import open_model

DEMO_SHADES = ("copper", "platinum", "burgundy", "blue", "black", "lavender")  # unless others are named
TILE_SIDE = 384  # pixels of each picture's long side
TILE_GAP = 8  # pixels between the pictures


def before_after(photo: Photo, shades: list[str]) -> np.ndarray:
    """Contact sheet: the photo, its hair mask, then one picture a shade, four in a row.

    Returns (h, w, 3) uint8 sRGB. Raises NoHairError, ShadeError or ModelError.
    """
    hair = find_hair(photo, open_model())
    require_hair(hair)
    mask = cv2.merge([from_float(hair.matte, photo.rgb.dtype)] * 3)
    pictures = [photo.rgb, mask, *(recolor(photo, hair, name).rgb for name in shades)]
    scale = TILE_SIDE / max(photo.width, photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tiles = [cv2.resize(from_float(to_float(p), np.uint8), size, interpolation=method) for p in pictures]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 4)
    framed = [
        cv2.copyMakeBorder(t, TILE_GAP, 0, TILE_GAP, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for t in tiles
    ]
    sheet = np.vstack([np.hstack(framed[i : i + 4]) for i in range(0, len(framed), 4)])
    return cv2.copyMakeBorder(sheet, 0, TILE_GAP, 0, TILE_GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        write_image(Path(sys.argv[2]), before_after(read_photo(sys.argv[1]), sys.argv[3:] or list(DEMO_SHADES)))
        return 0
    except HairmaskError as error:
        print(f"hairmask: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
