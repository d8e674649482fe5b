"""Dark hair, cropped or thin so that skin shows through, dyed platinum.

    python -m benchmarks.fades --data DATA [--choose] [--sheet FILE.png]

Dark-haired photos of Figaro-1k and the CelebA sets, those kept for reports; --choose: for choices. Printed: in how many
photos skin was found to show through (`matting.cropped`), and the share of their hair's pixels that are nearly white once
dyed (L* above 95), with what ships and as if all were hair, which is a bad result known beforehand; and the same of the
photos in which none was found. --sheet: the photos in which most changes: photo, as if all were hair, what ships.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from skimage.color import rgb2lab

from hairmask_core.color.blend import blend
from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.hair.tone import HairMatte
from hairmask_core.matting import foreground
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_hair, recolor_layer
from hairmask_core.segmentation.segmenter import open_model

SETS = ("figaro1k", "celebamask", "celebahq")
SHADE = "platinum"
DARK = 30  # L* of the hair's median, at most
LEAST_HAIR = 0.03  # of the photo
WHITE = 95  # L*
SURE = 0.9  # of the matte
ON_SHEET, CELL = 12, 320  # photos, pixels


def dye(photo: Photo, hair: HairMatte) -> np.ndarray:
    return blend(photo.rgb, recolor_layer(photo, hair, SHADE), hair.matte)


def white_share(dyed: np.ndarray, hair: np.ndarray) -> float:
    return float((rgb2lab(dyed[hair][None])[..., 0] > WHITE).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    model, rows, changed = open_model(device="cpu"), [], []
    pairs = [pair for name in SETS for pair in find_pairs(args.data / name / "images", args.data / name / "masks")]
    for path in (path for path, _ in pairs if zlib.crc32(path.stem.encode()) % 10 == args.choose):
        photo = read_photo(path)
        hair = find_hair(photo, model)
        where = hair.matte >= SURE
        if hair.share < LEAST_HAIR or np.median(rgb2lab(photo.rgb[where][None])[..., 0]) > DARK:
            continue
        with mock.patch.object(foreground, "find_cropped", return_value=None):
            before = dye(photo, find_hair(photo, model))
        now = dye(photo, hair)
        shares = white_share(before, where), white_share(now, where)
        difference = float(np.abs(now.astype(int) - before)[where].mean())
        rows.append((difference > 0, *shares))
        changed.append((difference, [photo.rgb, before, now]))
    print("| skin shows through | photos | nearly white, as if all were hair | ships |\n|---|---|---|---|")
    for found in (True, False):
        of = np.array([row[1:] for row in rows if row[0] == found]).reshape(-1, 2)
        print(f"| {'yes' if found else 'no'} | {len(of)} | {of[:, 0].mean():.1%} | {of[:, 1].mean():.1%} |")
    if args.sheet:
        changed.sort(key=lambda item: -item[0])
        cells = [[cv2.resize(x, (CELL, CELL), interpolation=cv2.INTER_AREA) for x in row] for _, row in changed]
        sheet = np.vstack([np.hstack(row) for row in cells[:ON_SHEET]])
        cv2.imwrite(str(args.sheet), sheet[..., ::-1])


if __name__ == "__main__":
    main()
