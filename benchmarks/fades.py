"""Dark hair, cropped or thin so that skin shows through, dyed platinum.

    python -m benchmarks.fades
    python -m benchmarks.fades --data DATA [--choose] [--sheet FILE.png]

Without photos: a drawn neck, faded from black to bare, whose true share of skin is known; the mean ΔE2000 (CIEDE2000) of the
fade to the truth, with what ships and as if all were hair.

Dark-haired photos of Figaro-1k and the CelebA sets, those kept for reports; --choose: for choices. Printed: in how many
photos skin was found to show through (`matting.visible_skin`), and the share of their hair's pixels that are nearly white once
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
from skimage.color import deltaE_ciede2000, rgb2lab

from hairmask_core.color.blend import blend
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.hair.tone import Hair, HairMatte, HairTone, measure_tone
from hairmask_core.matting import foreground
from hairmask_core.photo.base import find_base
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo, from_float
from hairmask_core.pipeline import find_edge_colors, find_hair, recolor_layer
from hairmask_core.segmentation.segmenter import open_model

SETS = ("figaro1k", "celebamask", "celebahq")
SHADE = "platinum"
DARK = 30  # L* of the hair's median, at most
LEAST_HAIR = 0.03  # of the photo
WHITE = 95  # L*
SURE = 0.9  # of the matte
ON_SHEET, CELL = 12, 320  # photos, pixels


SIDE = 256
FADE = slice(100, 180)  # rows in which hair becomes skin
SKIN = (205, 155, 130)


def layers(color=(30, 27, 26), skin=SKIN) -> tuple[np.ndarray, np.ndarray]:
    """Hair with lighter strands, and skin: (SIDE, SIDE, 3) float32 each, 0…1."""
    rng = np.random.default_rng(0)
    strands = np.clip(rng.normal(0, 1, (1, SIDE, 1)), 0, 3) * 12 + rng.normal(0, 4, (SIDE, SIDE, 1))
    hair = np.array(color) + strands
    bare = np.array(skin) + rng.normal(0, 3, (SIDE, SIDE, 1))
    hair, bare = (np.clip(part / 255, 0, 1).astype(np.float32) for part in (hair, bare))
    return hair, bare


def bare_share() -> np.ndarray:
    """Of a neck that is faded from black at the top to bare skin at the bottom: (SIDE, SIDE, 1) float32."""
    rows = np.clip((np.arange(SIDE) - FADE.start) / (FADE.stop - FADE.start), 0, 1)
    return np.broadcast_to(rows[:, None, None], (SIDE, SIDE, 1)).astype(np.float32)


def matte() -> np.ndarray:
    """As masks have it: hair throughout, down to where hardly any is left."""
    return np.clip((FADE.stop - 8 - np.arange(SIDE)) / 6, 0, 1)[:, None].repeat(SIDE, 1).astype(np.float32)


def mixed(hair: np.ndarray, skin: np.ndarray) -> np.ndarray:
    return hair + bare_share() * (skin - hair)


def seen(photo: np.ndarray, tone: HairTone) -> np.ndarray:
    """The photo dyed platinum through the matte, (SIDE, SIDE, 3) uint8."""
    photo = Photo(from_float(photo, np.uint8))
    edges, base = find_edge_colors(photo, matte()), find_base(photo.rgb, matte=matte())
    return blend(photo.rgb, recolor_layer(photo, Hair(matte(), 0.5, tone=tone, edges=edges, base=base), SHADE), matte())


def drawn_fade() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The drawn neck dyed: the truth, (SIDE, SIDE, 3) float32, 0…1; as if all were hair and what ships, uint8."""
    hair, skin = layers()
    photo, tone = mixed(hair, skin), measure_tone(hair, np.ones((SIDE, SIDE), np.float32))
    dyed = recolor(from_float(hair, np.uint8), tone, find_shade(SHADE).rgb) / np.float32(255)
    with mock.patch.object(foreground, "find_visible_skin", return_value=None):
        before = seen(photo, tone)
    return dyed + bare_share() * (skin - dyed), before, seen(photo, tone)


def fade_error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(deltaE_ciede2000(rgb2lab(image / 255), rgb2lab(truth))[FADE].mean())


def dye(photo: Photo, hair: HairMatte) -> np.ndarray:
    return blend(photo.rgb, recolor_layer(photo, hair, SHADE), hair.matte)


def white_share(dyed: np.ndarray, hair: np.ndarray) -> float:
    return float((rgb2lab(dyed[hair][None])[..., 0] > WHITE).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    if not args.data:
        truth, before, now = drawn_fade()
        print(f"As if all were hair {fade_error(before, truth):.1f}, ships {fade_error(now, truth):.1f}")
        return
    model, rows, changed = open_model(device="cpu"), [], []
    pairs = [pair for name in SETS for pair in find_pairs(args.data / name / "images", args.data / name / "masks")]
    for path in (path for path, _ in pairs if zlib.crc32(path.stem.encode()) % 10 == args.choose):
        photo = read_photo(path)
        hair = find_hair(photo, model)
        where = hair.matte >= SURE
        if hair.share < LEAST_HAIR or np.median(rgb2lab(photo.rgb[where][None])[..., 0]) > DARK:
            continue
        with mock.patch.object(foreground, "find_visible_skin", return_value=None):
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
