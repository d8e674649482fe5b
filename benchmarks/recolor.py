"""How well recoloring keeps hair's texture and meets the shade, against simple ways to color hair.

    python benchmarks/recolor.py [--data DATA] [--quick] [--json FILE] [--sheet FILE.jpg]

Sources, by the hair's measured tone: with --data photos in Figaro-1k's layout
(DATA/figaro1k/{images,masks}), with the masks drawn by hand; without it scikit-image's astronaut, with the product's own
mask, and rendered hair (synthetic/strands.py), with its exact alpha. Targets: every named shade; --quick takes 8 of them.

Figures, over pixels that are hair for certain and unless said otherwise of CIE L*, 0…100 (D65), computed on 8 bits:

  texture     correlation between L*'s gradients (Sobel 3x3, both directions) before and after
  ΔE          CIEDE2000 between the shade and the recolored hair where it is lit (`hair.tone.LIT`)
  clipped     % of the pixels whose channel was within 1…254 before and is 0 or 255 after; the worst channel
  highlights  L* of the brightest 2 % over the median's, after / before

Whether it could be hair, at 400 pixels, beside real hair as light (hairmask_core/color/hair_tones.json):

  contrast    standard deviation of perceived lightness, as a share of real hair's
  local       the same of what is finer than 4 pixels
  distance    of the quantiles of lightness from real hair's, mean, on a scale of 100
  natural     % of the cases with a contrast of 0.7 to 1.4 and a local one of 0.6 to 1.6

The ways, each at full strength: what ships; the shade laid over at half opacity; its HSV hue in place of the hair's; GIMP's
layer modes HSL Color (hue and saturation of the shade, lightness of the photo, on encoded values) and LCh Color (C and h
of the shade, L of the photo, in CIE Lab); color transfer (Reinhard et al. 2001) in their lαβ: the hair's mean becomes
the shade, its deviations stay as they are, since a shade has none. And what ships with a third of its contrast: a bad
result made by hand, for the figures to tell.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from skimage.color import deltaE_ciede2000, hsv2rgb, rgb2hsv, rgb2lab

from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import Shade, named_shades
from hairmask_core.hair.tone import LIT, QUANTILES, HairTone, measure_tone
from hairmask_core.photo.files import write_image
from hairmask_core.photo.oklab import linear_to_srgb, unperceived
from hairmask_core.photo.pixels import Photo, from_float, to_float
from hairmask_core.pipeline import find_hair
from hairmask_core.segmentation.segmenter import open_model

sys.path.append(str(Path(__file__).resolve().parent.parent))  # synthetic/
from benchmarks import hair_tones  # noqa: E402
from synthetic.strands import Scene, render  # noqa: E402

SIMILAR = 15  # L* between hair and shade: up to here they are of similar depth
STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
QUICK = ("black", "chestnut", "brown", "ash-blond", "platinum", "copper", "pink", "blue")
SHOWN = ("platinum", "copper", "blue")
TILE = 150  # pixels, of the contact sheet

# Scenes of synthetic/strands.py whose hair happens to be black, blond, grey and blue: number and style.
RENDERED = ((19, "straight"), (1, "wavy"), (3, "straight"), (7, "wavy"))

# What hair of each group looks like, in OKLab.
GROUPS: dict[str, Callable[[HairTone], bool]] = {
    "black": lambda t: depth(t) < 0.25 and chroma(t) < 0.03,
    "brown": lambda t: 0.28 < depth(t) < 0.55 and 0.015 < chroma(t) < 0.1 and 15 < hue(t) < 90,
    "blond": lambda t: depth(t) > 0.62 and 0.025 < chroma(t) and 50 < hue(t) < 100,
    "grey": lambda t: depth(t) > 0.42 and chroma(t) < 0.016,
    "dyed": lambda t: chroma(t) > 0.05 and not 22 < hue(t) < 110,
}


@dataclass(frozen=True)
class Source:
    """A photo: (h, w, 3) uint8; its hair (h, w) float32, 0…1; its tone."""

    name: str
    group: str
    rgb: np.ndarray
    hair: np.ndarray
    tone: HairTone


def depth(tone: HairTone) -> float:
    """OKLab lightness of the hair's median."""
    return float(unperceived(np.float64(tone.quantiles[QUANTILES.index(0.5)])))


def chroma(tone: HairTone) -> float:
    return float(np.hypot(*tone.lit[1:]))


def hue(tone: HairTone) -> float:
    return float(np.degrees(np.arctan2(*tone.lit[:0:-1])))


def group_of(tone: HairTone) -> str | None:
    return next((name for name, belongs in GROUPS.items() if belongs(tone)), None)


# Sources


def make_source(name: str, rgb: np.ndarray, hair: np.ndarray) -> Source:
    tone = measure_tone(rgb.astype(np.float32) / 255, hair)
    return Source(name, group_of(tone) or "other", rgb, hair, tone)


def real_sources(data: Path, each: int) -> list[Source]:
    """Up to so many photos of each group, the first by name; hair fills a tenth of them at least."""
    chosen: dict[str, list[Source]] = {group: [] for group in GROUPS}
    for image in sorted((data / "figaro1k" / "images").glob("*.jpg")):
        group = min(chosen.values(), key=len)
        if len(group) == each:
            break
        mask = cv2.imread(str(data / "figaro1k" / "masks" / f"{image.stem}.png"), cv2.IMREAD_GRAYSCALE)
        if mask is None or (mask > 127).mean() < 0.1:
            continue
        rgb = cv2.imread(str(image), cv2.IMREAD_REDUCED_COLOR_4)
        small = cv2.resize(mask, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)
        found = group_of(measure_tone(rgb[..., ::-1].astype(np.float32) / 255, small.astype(np.float32) / 255))
        if found is None or len(chosen[found]) == each:
            continue
        source = make_source(image.stem, cv2.imread(str(image))[..., ::-1].copy(), mask.astype(np.float32) / 255)
        if source.group == found:
            chosen[found].append(source)
    return [source for sources in chosen.values() for source in sources]


def free_sources() -> list[Source]:
    """The astronaut, and rendered hair of the other colors."""
    portrait = skimage.data.astronaut()
    sources = [make_source("astronaut", portrait, find_hair(Photo(portrait), open_model(device="cpu")).matte)]
    for number, style in RENDERED:
        scene = Scene(number, 0.3, style, "wall")
        sources.append(make_source(scene.name, *render(scene)))
    return sources


# Ways to color hair: photo (h, w, 3) uint8, tone, hair (h, w) bool, shade -> (h, w, 3) uint8


def flattened(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    """A bad result by hand: what ships with a third of its contrast, which the figures must tell."""
    dyed = recolor(rgb, source.tone, shade.rgb).astype(np.float32)
    middle = np.median(dyed[hair], axis=0)
    return from_float((middle + (dyed - middle) / 3) / 255, np.uint8)


def ours(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    return recolor(rgb, source.tone, shade.rgb)


def flat_overlay(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    return from_float(rgb.astype(np.float32) / 255 * 0.5 + 0.5 * np.float32(shade.rgb), np.uint8)


def hsv_hue(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    hsv = rgb2hsv(rgb)
    hsv[..., 0] = rgb2hsv(np.array(shade.rgb).reshape(1, 1, 3))[0, 0, 0]
    return from_float(hsv2rgb(hsv), np.uint8)


def hsl_color(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    hls = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HLS)
    dyed = cv2.cvtColor(np.float32(shade.rgb).reshape(1, 1, 3), cv2.COLOR_RGB2HLS)[0, 0]
    hls[..., 0], hls[..., 2] = dyed[0], dyed[2]
    return from_float(cv2.cvtColor(hls, cv2.COLOR_HLS2RGB), np.uint8)


def lch_color(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    lab[..., 1:] = cv2.cvtColor(np.float32(shade.rgb).reshape(1, 1, 3), cv2.COLOR_RGB2Lab)[0, 0, 1:]
    return from_float(np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1), np.uint8)


# Reinhard et al. 2001, "Color transfer between images", equations 4 and 6: linear RGB -> LMS -> log -> lαβ.
RUDERMAN_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
RUDERMAN_LAB = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])


def reinhard(rgb: np.ndarray, source: Source, hair: np.ndarray, shade: Shade) -> np.ndarray:
    def forward(encoded: np.ndarray) -> np.ndarray:
        linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        return np.log10(np.maximum(linear @ RUDERMAN_LMS.T, 1e-4)) @ RUDERMAN_LAB.T

    lab, target = forward(rgb / 255.0), forward(np.array(shade.rgb))
    moved = lab - lab[hair].mean(axis=0) + target
    linear = 10 ** (moved @ np.linalg.inv(RUDERMAN_LAB).T) @ np.linalg.inv(RUDERMAN_LMS).T
    return from_float(linear_to_srgb(np.clip(linear, 0, 1).astype(np.float32)), np.uint8)


WAYS = {
    "ships": ours,
    "a third of it": flattened,
    "flat overlay": flat_overlay,
    "HSV hue": hsv_hue,
    "HSL Color": hsl_color,
    "LCh Color": lch_color,
    "Reinhard": reinhard,
}


# Figures


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L*, 0…100: (h, w, 3) uint8 -> (h, w) float32."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[..., 0]


def gradients(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return np.concatenate([cv2.Sobel(values, cv2.CV_32F, *axis)[inside] for axis in ((1, 0), (0, 1))])


def difference(rgb: np.ndarray, inside: np.ndarray, shade: Shade) -> float:
    """CIEDE2000 between the shade and the hair where it is lit: the median of the middle tenth around that quantile."""
    lab = rgb2lab(rgb[inside][None])[0]
    low, high = np.quantile(lab[:, 0], (LIT - 0.05, LIT + 0.05))
    shown = np.median(lab[(lab[:, 0] >= low) & (lab[:, 0] <= high)], axis=0)
    return float(deltaE_ciede2000(shown, rgb2lab(np.reshape(shade.rgb, (1, 1, 3)))[0, 0]))


def newly_clipped(before: np.ndarray, after: np.ndarray, inside: np.ndarray) -> float:
    """% of the unclipped that clip now, in the channel where it is most."""
    old, new = before[inside], after[inside]
    free = (old > 0) & (old < 255)
    lost = free & ((new == 0) | (new == 255))
    return float((100 * lost.sum(axis=0) / np.maximum(free.sum(axis=0), 1)).max())


def highlight_contrast(values: np.ndarray) -> float:
    """The brightest 2 % over the median."""
    return float(values[values >= np.quantile(values, 0.98)].mean() - np.median(values))


def measure(source: Source, shade: Shade, way: str) -> dict:
    certain = source.hair > 0.95
    inside = cv2.erode(certain.astype(np.uint8), np.ones((3, 3))) > 0  # so that gradients see hair only
    after = WAYS[way](source.rgb, source, certain, shade)
    old, new = lightness(source.rgb), lightness(after)
    before, later = gradients(old, inside), gradients(new, inside)
    goal = float(rgb2lab(np.reshape(shade.rgb, (1, 1, 3)))[0, 0, 0])
    return {
        "source": source.name,
        "group": source.group,
        "shade": shade.name,
        "way": way,
        "lift": goal - float(np.median(old[inside])),
        "texture": float(np.corrcoef(before, later)[0, 1]),
        "delta_e": difference(after, inside, shade),
        "clipped": newly_clipped(source.rgb, after, inside),
        "highlights": highlight_contrast(new[inside]) / highlight_contrast(old[inside]),
    } | likeness(after, source.hair)


def likeness(rgb: np.ndarray, hair: np.ndarray) -> dict[str, float]:
    """Contrast, local contrast and distance of quantiles, see above; none where the hair is too small."""
    found = hair_tones.measure(rgb, (255 * hair).astype(np.uint8))
    if found is None:
        return {}
    depths = json.loads(hair_tones.TARGET.read_text(encoding="utf-8"))["depths"]
    medians, median = [depth["median"] for depth in depths], found.quantiles[QUANTILES.index(0.5)]
    contrast, local = (np.interp(median, medians, [depth[name] for depth in depths]) for name in ("contrast", "local"))
    offsets = [
        np.interp(median, medians, column) for column in zip(*(depth["offsets"] for depth in depths), strict=True)
    ]
    return {
        "contrast": found.contrast / float(contrast),
        "local": found.local / float(local),
        "distance": 100 * float(np.abs(found.quantiles - median - offsets).mean()),
    }


def measure_strength(source: Source, shade: Shade) -> dict:
    """Does the distance from the full shade fall with strength, is 0 the photo itself?"""
    steps = [recolor(source.rgb, source.tone, shade.rgb, strength) for strength in STRENGTHS]
    inside = source.hair > 0.95
    last = steps[-1][inside].astype(int)
    distances = [np.abs(step[inside] - last).mean() for step in steps]
    return {
        "monotone": bool(all(a >= b for a, b in zip(distances, distances[1:]))),
        "zero_identical": bool((steps[0] == source.rgb).all()),
    }


def situation(record: dict) -> str:
    if abs(record["lift"]) <= SIMILAR:
        return "similar depth"
    if record["group"] == "black" and record["shade"] in ("golden-blond", "ash-blond", "light-blond", "platinum"):
        return "black to blond"
    return "lifted" if record["lift"] > 0 else "darkened"


def table(records: list[dict], key: Callable[[dict], str], title: str) -> str:
    """Markdown: a row for each way and each value of `key`. Worst (mean) of each figure; of likeness the mean."""
    lines = [
        f"| way | {title} | cases | texture | ΔE2000, lit | clipped, % | highlights | contrast | local | distance | natural, % |",
        "|---" * 11 + "|",
    ]
    for way in dict.fromkeys(r["way"] for r in records):
        for value in sorted({key(r) for r in records}):
            these = [r for r in records if r["way"] == way and key(r) == value]
            if these:
                texture, off, clipped, highlights = (
                    np.array([r[name] for r in these]) for name in ("texture", "delta_e", "clipped", "highlights")
                )
                large = [r for r in these if "contrast" in r]
                contrast, local, distance = (
                    np.array([r[name] for r in large]) for name in ("contrast", "local", "distance")
                )
                natural = (contrast >= 0.7) & (contrast <= 1.4) & (local >= 0.6) & (local <= 1.6)
                lines.append(
                    f"| {way} | {value} | {len(these)} | {texture.min():.3f} ({texture.mean():.3f}) "
                    f"| {off.max():.1f} ({off.mean():.1f}) | {clipped.max():.2f} ({clipped.mean():.2f}) "
                    f"| {highlights.min():.2f} ({highlights.mean():.2f}) | {contrast.mean():.2f} | {local.mean():.2f} "
                    f"| {distance.mean():.1f} | {100 * natural.mean():.0f} |"
                )
    return "\n".join(lines)


# Speed


def speeds(runs: int = 5) -> str:
    """Seconds for the portrait enlarged: the medians of some runs; a pass is OpenCV's RGB to CIE Lab and back, 8 bits."""
    portrait, shade = skimage.data.astronaut(), (0.7, 0.35, 0.16)
    tone = measure_tone(to_float(portrait), np.ones(portrait.shape[:2], np.float32))

    def seconds(work: Callable[[], object]) -> float:
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    small, large = (cv2.resize(portrait, (side, side), interpolation=cv2.INTER_CUBIC) for side in (1000, 4900))
    recolor(small, tone, shade)  # loads what is compiled
    one, whole = (seconds(lambda: recolor(photo, tone, shade)) for photo in (small, large))
    there_and_back = seconds(lambda: cv2.cvtColor(cv2.cvtColor(large, cv2.COLOR_RGB2Lab), cv2.COLOR_Lab2RGB))
    deep, real = (seconds(lambda: recolor(p, tone, shade)) for p in (small.astype(np.uint16) * 257, to_float(small)))
    return (
        f"1 megapixel {one * 1e3:.1f} ms, 16 bits {deep * 1e3:.1f}, float {real * 1e3:.1f}; "
        f"24 megapixels {whole:.3f} s = {whole / there_and_back:.2f} passes of {there_and_back:.3f} s"
    )


# The contact sheet


def contact_sheet(sources: list[Source], shades: list[Shade]) -> np.ndarray:
    """Rows: one source of each group in each shade. Columns: the photo, then all ways."""
    firsts = list({source.group: source for source in reversed(sources)}.values())[::-1]
    rows = [label_row(["photo", *WAYS])]
    for source in firsts:
        for shade in shades:
            pictures = [source.rgb]
            for paint in WAYS.values():
                dyed = paint(source.rgb, source, source.hair > 0.95, shade).astype(np.float32)
                blended = source.rgb + source.hair[..., None] * (dyed - source.rgb)
                pictures.append(from_float(blended / 255, np.uint8))
            rows.append(np.hstack([tile(picture, source.hair) for picture in pictures]))
            rows[-1][:12, :] = 255
            cv2.putText(rows[-1], shade.name, (3, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack(rows)


def tile(picture: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """The square around the hair, TILE pixels."""
    y, x = np.nonzero(hair > 0.5)
    top, left = (int(np.quantile(v, 0.02)) for v in (y, x))
    side = max(int(np.quantile(y, 0.98)) - top, int(np.quantile(x, 0.98)) - left, 1)
    piece = picture[top : top + side, left : left + side]
    piece = cv2.copyMakeBorder(
        piece, 0, side - piece.shape[0], 0, side - piece.shape[1], cv2.BORDER_CONSTANT, value=(255,) * 3
    )
    return cv2.resize(piece, (TILE, TILE), interpolation=cv2.INTER_AREA)


def label_row(labels: list[str]) -> np.ndarray:
    row = np.full((20, TILE * len(labels), 3), 255, np.uint8)
    for i, label in enumerate(labels):
        cv2.putText(row, label, (i * TILE + 3, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of data sets; else free pictures only")
    parser.add_argument(
        "--quick", action="store_true", help="8 shades, and with --data one photo of each group instead of two"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="contact sheet, .jpg or .png")
    args = parser.parse_args()
    start = time.perf_counter()
    sources = real_sources(args.data, 1 if args.quick else 2) if args.data else free_sources()
    shades = [shade for shade in named_shades() if not args.quick or shade.name in QUICK]
    for source in sources:
        tone = source.tone
        print(
            f"{source.name}: {source.group}, lit {tone.lit[0]:.2f} {tone.lit[1]:.3f} {tone.lit[2]:.3f}, "
            f"lightness {tone.quantiles[0]:.2f}…{tone.quantiles[-1]:.2f}"
        )
    records = [measure(source, shade, way) for way in WAYS for source in sources for shade in shades]
    strengths = [measure_strength(source, shade) for source in sources for shade in shades]
    print(
        f"\n{os.cpu_count()} cores, {platform.machine()}, OpenCV {cv2.__version__}; {len(sources)} photos, {len(shades)} shades"
    )
    print("worst (mean)\n\n" + table(records, situation, "shade"))
    print("\n" + table([r for r in records if r["way"] == "ships"], lambda r: r["group"], "hair"))
    for name in ("monotone", "zero_identical"):
        print(f"\nstrength, {name}: {sum(s[name] for s in strengths)} of {len(strengths)}")
    print(f"\n{speeds()}\n\n{time.perf_counter() - start:.0f} s in all")
    if args.json:
        args.json.write_text(json.dumps({"cases": records, "strength": strengths}, indent=1) + "\n")
    if args.sheet:
        write_image(args.sheet, contact_sheet(sources, [s for s in named_shades() if s.name in SHOWN]))


if __name__ == "__main__":
    main()
