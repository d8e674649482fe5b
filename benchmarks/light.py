"""Does the new color follow the light? Photos are seen in colored and in dim light before and after recoloring.

python -m benchmarks.light --data DATA [--photos 24] [--sheet FILE] [--warmth] [--brightness]

DATA holds sets of photos (images/ and masks/ in each). A cast multiplies linear light by the color of a black body, with
the luminance of white or a share of it. Two ways should agree: cast(recolor(photo)) and recolor(cast(photo)); the table has
the mean CIEDE2000 between them in the hair, with the light estimated (auto), and taken for white (neutral).
--warmth: instead, how warm edges are in the photos for training, from which `photo.light` has its WARMTH.
--brightness: instead, how light the lightest hundredth is of photos of light and of dark hair, from which it has FULL; of
the photos that nothing is reported by.
"""

import argparse
import zlib
from pathlib import Path

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from benchmarks.held_out import held_out_pairs
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.hair.tone import LIT, measure_tone
from hairmask_core.photo.light import (
    FULL,
    LIGHTEST,
    LUMINANCE,
    NEUTRAL,
    edge_ratios,
    estimate_brightness,
    estimate_color,
    estimate_illuminant,
)
from hairmask_core.photo.oklab import linear_to_srgb, srgb_to_linear

# Of each cast the temperature in kelvin, and the luminance.
CASTS = ((3000, 1), (4000, 1), (5000, 1), (6500, 1), (7500, 1), (9000, 1), (6500, 0.5), (6500, 0.25), (3500, 0.4))
SETS = ("figaro1k", "celebahq", "celebamask")
SIDE = 512  # pixels of the long side
LIGHT_HAIR, DARK_HAIR = 76, 30  # L* of the hair where it is lit, of light hair at least and of dark hair at most
LEAST_PIXELS = 1000  # of hair and of the rest
SHADES = ("golden-blond", "copper", "dark-brown", "platinum", "blue", "black")


def black_body(kelvin: float) -> np.ndarray:
    """Linear sRGB of a black body's light by that of 6500 K, with a luminance of 1: (3,).

    Chromaticity by the cubic approximation of the Planckian locus (Kang et al. 2002).
    """

    def linear(temperature: float) -> np.ndarray:
        t = 1000 / temperature
        low = temperature <= 4000
        x = np.polyval(
            (-0.2661239, -0.2343589, 0.8776956, 0.179910) if low else (-3.0258469, 2.1070379, 0.2226347, 0.240390), t
        )
        y = np.polyval(
            (-0.9549476, -1.37418593, 2.09137015, -0.16748867)
            if low
            else (3.0817580, -5.87338670, 3.75112997, -0.37001483),
            x,
        )
        xyz = np.array([x / y, 1, (1 - x - y) / y])
        matrix = [
            [3.2404542, -1.5371385, -0.4985314],
            [-0.9692660, 1.8760108, 0.0415560],
            [0.0556434, -0.2040259, 1.0572252],
        ]
        return np.array(matrix) @ xyz

    white = np.maximum(linear(kelvin), 0.01) / linear(6500)
    return white / (white @ LUMINANCE)


def cast(rgb: np.ndarray, kelvin: float, luminance: float = 1.0) -> np.ndarray:
    """A photo, (h, w, 3) uint8, as it would be in that light."""
    light = (luminance * black_body(kelvin)).astype(np.float32)
    return np.round(255 * linear_to_srgb(np.clip(srgb_to_linear(rgb) * light, 0, 1))).astype(np.uint8)


def read(pair: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    """A photo, (h, w, 3) uint8, at SIDE pixels, and its hair, (h, w) float32, 0…1."""
    rgb, mask = cv2.imread(str(pair[0])), cv2.imread(str(pair[1]), cv2.IMREAD_GRAYSCALE)
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    rgb, mask = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (rgb, mask))
    return np.ascontiguousarray(rgb[..., ::-1]), mask.astype(np.float32) / 255


def dyed(rgb: np.ndarray, matte: np.ndarray, shade: str, auto: bool) -> np.ndarray:
    light = estimate_illuminant(rgb) if auto else NEUTRAL
    return recolor(rgb, measure_tone(rgb.astype(np.float32) / 255, matte, light), find_shade(shade).rgb)


def difference(one: np.ndarray, other: np.ndarray, hair: np.ndarray) -> float:
    return float(deltaE_ciede2000(rgb2lab(one[hair][None] / 255), rgb2lab(other[hair][None] / 255)).mean())


def print_warmth(data: Path) -> None:
    """The medians over every sixth photo that is neither for reports nor for choices, and how far photos are from them."""
    pairs = [pair for name in SETS for pair in find_pairs(data / name / "images", data / name / "masks")]
    pairs = [pair for pair in pairs if zlib.crc32(pair[0].stem.encode()) % 10 > 1][::6]
    found = [edge_ratios(cv2.imread(str(image))[..., ::-1]) for image, _ in pairs]
    ratios = np.array([ratio for ratio in found if ratio])
    red, blue = np.median(ratios, axis=0)
    away = np.diff(ratios, axis=1)
    print(f"{len(ratios)} photos: red {red:.3f}, blue {blue:.3f}; standard deviation of red by blue {away.std():.2f}")


def print_brightness(data: Path) -> None:
    """Quantiles of the CIE L* of the lightest hundredth, LIGHTEST, of photos, and of them without the hair."""
    pairs = [pair for name in SETS for pair in find_pairs(data / name / "images", data / name / "masks")]
    kinds: dict[str, list] = {"light": [], "dark": []}
    for pair in pairs:
        if zlib.crc32(pair[0].stem.encode()) % 10 == 0:
            continue
        rgb, matte = read(pair)
        lightness = rgb2lab(cv2.blur(rgb, (3, 3)))[..., 0]
        hair, rest = matte > 0.9, matte < 0.05
        if min(hair.sum(), rest.sum()) < LEAST_PIXELS:
            continue
        lit = np.quantile(lightness[hair], LIT)
        kind = "light" if lit >= LIGHT_HAIR else "dark" if lit < DARK_HAIR else None
        if kind:
            kinds[kind].append((np.quantile(lightness, LIGHTEST), np.quantile(lightness[rest], LIGHTEST)))
    full = float(rgb2lab(np.full((1, 1, 3), linear_to_srgb(np.full((1, 1, 3), FULL, np.float32))))[0, 0, 0])
    print(f"full light: L* {full:.0f}\n| hair | photos | L*: 5 %, 10 %, half below | without the hair | in dim light |")
    print("|---|---|---|---|---|")
    for kind, found in kinds.items():
        whole, rest = np.array(found).T
        shown = [", ".join(f"{one:.0f}" for one in np.quantile(x, (0.05, 0.1, 0.5))) for x in (whole, rest)]
        print(f"| {kind} | {len(found)} | {shown[0]} | {shown[1]} | {np.mean(whole < full):.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--warmth", action="store_true", help="measure how warm edges are in photos for training")
    parser.add_argument("--brightness", action="store_true", help="measure how light the lightest of photos is")
    parser.add_argument("--sheet", type=Path, help="also draw the photos as they are, neutral and auto")
    args = parser.parse_args()
    if args.warmth:
        print_warmth(args.data)
        return
    if args.brightness:
        print_brightness(args.data)
        return
    each = -(-args.photos // len(SETS))
    photos = [read(pair) for name in SETS for pair in held_out_pairs(args.data, name)[:each]]
    white = np.mean([estimate_color(rgb) == NEUTRAL for rgb, _ in photos])
    dim = np.mean([estimate_brightness(rgb) < 1 for rgb, _ in photos])
    print(f"{len(photos)} photos; light taken for white: {white:.0%}, for dim: {dim:.0%}")
    print("| light, K | luminance | auto | neutral |\n|---|---|---|---|")
    for light in CASTS:
        means = []
        for auto in (True, False):
            found = [
                difference(
                    cast(dyed(rgb, matte, shade, auto), *light),
                    dyed(cast(rgb, *light), matte, shade, auto),
                    matte > 0.9,
                )
                for i, (rgb, matte) in enumerate(photos)
                for shade in (SHADES[i % len(SHADES)], SHADES[(i + 3) % len(SHADES)])
            ]
            means.append(np.mean(found))
        print(f"| {light[0]} | {light[1]} | {means[0]:.1f} | {means[1]:.1f} |")
    if args.sheet:
        rows = []
        for i, (rgb, matte) in enumerate(photos):
            shown = [rgb]
            for auto in (False, True):
                layer = dyed(rgb, matte, SHADES[(i + 3) % len(SHADES)], auto)
                shown.append((rgb + matte[..., None] * (layer.astype(np.float32) - rgb)).astype(np.uint8))
            rows.append(np.hstack([cv2.resize(one, (240, 240), interpolation=cv2.INTER_AREA) for one in shown]))
        half = -(-len(rows) // 2)
        rows += [np.zeros_like(rows[0])] * (2 * half - len(rows))
        sheet = np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])])
        cv2.imwrite(str(args.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
