"""What real hair of each depth looks like: writes hairmask_core/color/hair_tones.json, from which recoloring is made.

    python -m benchmarks.hair_tones --data DATA

DATA is the folder of data sets that models/training/README.md describes; photos kept for choices and for figures are left
out. Photos at 400 pixels, hair that is so by hand and 7 pixels from its outline. Lightness is OKLab's, made to run like
CIE L* / 100 (`oklab.perceived`); a and b are OKLab's.

  quantiles   of the hair's lightness, 0…1
  depths      for a row of median lightnesses, of the NEAREST photos whose hair is about so light, medians: `median`,
              `offsets` of the quantiles from it; standard deviations: `contrast` of lightness, `local` of lightness less
              its blur over 4 pixels, and the `skew` of that, `spread` of a and b together around their trend over the
              hair's own lightness; of that, what differs from the mean around (as wide as `find_base` takes it) is `fine`,
              and the mean itself varies by so much `along` the axis and `across` it; `colorful` is the chroma where the hair
              is lit
  axis        degrees of hue, the direction in a and b in which the mean around varies most
  chroma      how colorful hair is at lightnesses evenly spaced from 0 to 1, as a share of its chroma in the middle: log
              chroma = of the photo + of the lightness, by least squares
  hue_turn    how much hue turns from red to yellow as hair gets lighter, degrees over the whole of lightness, likewise
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.hair.tone import LIT, QUANTILES, color_trend
from hairmask_core.photo.base import RADIUS
from hairmask_core.photo.oklab import perceived, rgb_to_oklab

SETS = ("figaro1k", "celebamask", "celebahq")
LONG_SIDE, RIM = 400, 7  # pixels: of the photo; of the mask's outline that may be skin
LEAST = 2500  # pixels of hair
BLUR = 4  # pixels: what is finer is local
NEAREST = 80  # photos
DEPTHS = (0.04, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
BINS = 25  # of lightness
COLORFUL = 0.02  # OKLab chroma from which hair has a color whose course can be told
TARGET = Path(__file__).resolve().parent.parent / "hairmask_core" / "color" / "hair_tones.json"


class Measured(NamedTuple):
    """Of one photo's hair, see above.

    around: (2, 2), covariance of a and b of the mean around. trend: (n, 3), lightness, a, b, from dark to bright.
    """

    quantiles: np.ndarray
    contrast: float
    local: float
    skew: float
    spread: float
    fine: float
    around: np.ndarray
    colorful: float
    trend: np.ndarray


def measure(rgb: np.ndarray, mask: np.ndarray) -> Measured | None:
    """None: too little hair. rgb: (H, W, 3) uint8, a photo. mask: (H, W) uint8, 255 where it is hair."""
    scale = LONG_SIDE / max(rgb.shape[:2])
    rgb = cv2.resize(np.ascontiguousarray(rgb), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    drawn = cv2.resize(mask, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
    hair = cv2.erode((drawn > 200).astype(np.uint8), np.ones((RIM, RIM))) > 0
    if hair.sum() < LEAST:
        return None
    lab = rgb_to_oklab(rgb).astype(float)
    lab[..., 0] = perceived(np.clip(lab[..., 0], 0, 1))
    local = (lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), BLUR))[hair]
    trend, spread = color_trend(lab[hair])
    lit = np.quantile(lab[..., 0][hair], LIT)
    vary = [lab[..., i] - np.interp(lab[..., 0], trend[:, 0], trend[:, i]) for i in (1, 2)]
    around = [mean_around(channel, hair.astype(float)) for channel in vary]
    fine = np.sqrt(sum((channel - mean)[hair].var() for channel, mean in zip(vary, around, strict=True)))
    return Measured(
        np.quantile(lab[..., 0][hair], QUANTILES),
        float(lab[..., 0][hair].std()),
        float(local.std()),
        float(((local - local.mean()) ** 3).mean() / local.std() ** 3),
        spread,
        float(fine),
        np.cov([mean[hair] for mean in around]),
        float(np.hypot(*(np.interp(lit, trend[:, 0], trend[:, i]) for i in (1, 2)))),
        trend,
    )


def mean_around(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of a photo's values around each pixel, in squares as in `find_base`."""
    side = 2 * round(RADIUS * LONG_SIDE) + 1
    return cv2.blur(values * weights, (side, side)) / np.maximum(cv2.blur(weights, (side, side)), 1e-9)


def course(values: np.ndarray, photos: np.ndarray, bins: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The part of the lightness in `values` = part of the photo + part of the lightness: (BINS,), 0 in the middle."""
    part, count = np.zeros(BINS), photos.max() + 1
    for _ in range(300):  # by turns
        own = np.bincount(photos, weights * (values - part[bins]), count) / np.maximum(
            np.bincount(photos, weights, count), 1e-9
        )
        part = np.bincount(bins, weights * (values - own[photos]), BINS) / np.maximum(
            np.bincount(bins, weights, BINS), 1e-9
        )
        part -= part[BINS // 2]
    return part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets")
    args = parser.parse_args()
    pairs = [pair for name in SETS for pair in find_pairs(args.data / name / "images", args.data / name / "masks")]
    rows = []
    for image, mask in pairs:
        if zlib.crc32(image.stem.encode()) % 10 > 1:
            row = measure(cv2.imread(str(image))[..., ::-1], cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE))
            rows += [row] if row else []
    quantiles = np.array([row.quantiles for row in rows])
    medians = quantiles[:, QUANTILES.index(0.5)]
    axis = np.linalg.eigh(np.mean([row.around for row in rows], axis=0))[1][:, 1]
    axis *= np.sign(axis[1])
    depths = []
    for depth in DEPTHS:
        near = np.argsort(abs(medians - depth))[:NEAREST]
        offsets = np.median(quantiles[near] - medians[near, None], axis=0)
        depths.append(
            {
                "median": round(float(np.median(medians[near])), 3),
                "offsets": [round(float(offset), 3) for offset in offsets],
                **{
                    name: round(float(np.median([getattr(rows[i], name) for i in near])), 4)
                    for name in ("contrast", "local", "skew", "spread", "fine", "colorful")
                },
                **{
                    name: round(float(np.median([np.sqrt(way @ rows[i].around @ way) for i in near])), 4)
                    for name, way in (("along", axis), ("across", axis[::-1] * (-1, 1)))
                },
            }
        )

    points = []  # photo, bin, chroma, hue
    for number, row in enumerate(rows):
        trend = row.trend
        chroma, hue = np.hypot(trend[:, 1], trend[:, 2]), np.degrees(np.arctan2(trend[:, 2], trend[:, 1]))
        if np.median(chroma) > COLORFUL and 25 < np.median(hue) < 100:  # no dyes, no casts
            bins = np.minimum((trend[:, 0] * BINS).astype(int), BINS - 1)
            points += zip([number] * len(trend), bins, np.maximum(chroma, 1e-3), hue, strict=True)
    photos, bins, chroma, hue = (np.array(column) for column in zip(*points, strict=True))
    shares = np.exp(course(np.log(chroma), photos, bins, np.ones(len(bins))))
    turns = course(hue, photos, bins, chroma * (abs(hue - 60) < 70))
    inner = slice(3, BINS - 4)  # of the ends there are few
    turn = np.polyfit((np.arange(BINS)[inner] + 0.5) / BINS, turns[inner], 1)[0]
    table = {
        "quantiles": list(QUANTILES),
        "depths": depths,
        "chroma": [round(float(share), 3) for share in shares],
        "hue_turn": round(float(turn), 1),
        "axis": round(float(np.degrees(np.arctan2(axis[1], axis[0]))), 1),
    }
    lines = json.dumps(table).replace(', "depths"', ',\n"depths"').replace('}, {"median"', '},\n{"median"')
    TARGET.write_text(lines.replace('], "chroma"', '],\n"chroma"').replace('], "hue', '],\n"hue') + "\n", "utf-8")
    print(f"{TARGET.name}: {len(rows)} photos")


if __name__ == "__main__":
    main()
