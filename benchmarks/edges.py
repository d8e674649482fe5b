"""How clean the outline of recolored hair is: against the truth on rendered hair, and as light rims on photos.

    python benchmarks/edges.py [--quick] [--choose] [--sheet FILE.png] [--json FILE]
    python benchmarks/edges.py --data DATA [--quality best] [--choose] [--sheet FILE.png] [--json FILE]

Rendered hair: strands and people of synthetic/, drawn as hair and background apart. The truth is the same strands in the
new color: p·T(F) + (1-p)·B, F each pixel's hair, B what is behind, T the recoloring of hair that covers its pixels; what has no
hair says nothing of the hair's light there.
Printed: the mean ΔE2000 (CIEDE2000) of the picture that is seen where 0.02 < alpha < 0.98, with layers that hold T of
the photo everywhere ("as if all were hair") and with what ships, for mattes from three places: the true alpha; what the
product refines from a coarse map (`coarse_map` of matte.py) with the guided filter and with the network; and, on people,
what find_hair finds, where it finds them (IoU 0.6). "any layer": the least that a layer could leave through that matte; what is
seen of the old color where the matte is too low, no layer can make up for.

Photos (--data): dark-haired portraits, dyed copper. Printed: the share of the outline's pixels that are more than RIM
levels lighter than both sides of it (`rim`), over photos. The photos themselves have some, too: "new" are those that are
none in the photo.

Figures are reported on even numbers and on the photos kept for reports (held_out.py). --choose: the odd ones, and the
photos by which settings may be chosen.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from matte import coarse_map
from skimage.color import deltaE_ciede2000, rgb2lab

from hairmask_core.color.blend import blend
from hairmask_core.color.recolor import recolor
from hairmask_core.color.shades import find_shade
from hairmask_core.color.tone_curve import Color
from hairmask_core.evaluation.evaluate import find_pairs
from hairmask_core.evaluation.metrics import iou
from hairmask_core.hair.tone import Hair, HairTone, measure_tone, sample_photo
from hairmask_core.matting.upsampling import refine_outline
from hairmask_core.photo.base import find_base
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo
from hairmask_core.pipeline import find_edge_colors, find_hair, recolor_layer
from hairmask_core.segmentation.segmenter import open_model
from synthetic import people, strands
from synthetic.canvas import Layers

SHADES = ("copper", "platinum", "burgundy")
PERSON_SIDE = 640  # pixels
PERSON_HAIR = 0.03  # of the picture at least
EDGE = (0.02, 0.98)  # alpha of a pixel of the outline
FOUND = 0.6  # IoU from which hair counts as found

PORTRAITS = ("celebamask", "celebahq", "figaro1k")
PORTRAIT_HAIR = (0.06, 0.6)  # of the photo, by the mask
DARK = 25  # L* of the hair's median
PORTRAIT_SHADE = "copper"
RIM = 15  # levels of luma
DYED = 0.05  # of the matte, from which on the outline's pixels count
OUTLINE = (
    0.01,
    0.03,
)  # of the long side: so far from the mask's border the outline reaches into the hair, and away from it
SIDE = 0.035  # of the long side: so far from a pixel its sides are looked at


# Rendered hair


def pictures(quick: bool, choose: bool) -> Iterator[tuple[str, Layers]]:
    """Names and pictures, strands first."""
    first, count = int(choose), 3 if quick else 8
    scenes = [scene for scene in strands.scenes() if scene.megapixels == 1 and scene.number % 2 == first]
    yield from ((f"strands {scene.number}", strands.render_layers(scene)) for scene in scenes[:count])
    number = first
    while count:
        layers = people.render_layers(PERSON_SIDE, np.random.default_rng(1000 + number))
        if layers.alpha.mean() >= PERSON_HAIR:
            yield f"person {number}", layers
            count -= 1
        number += 2


def true_picture(layers: Layers, tone: HairTone, color: Color) -> np.ndarray:
    """The same strands dyed, (h, w, 3) uint8. tone: of the hair as it was."""
    alpha = layers.alpha[..., None]
    own = np.where(alpha > 1e-3, layers.hair / np.maximum(alpha, 1e-3) / 255, 0).astype(np.float32).clip(0, 1)
    dyed = recolor(own, tone, color, base=find_base(own, tone.light, layers.alpha))
    return layers.picture(dyed * alpha * 255)


def mattes(name: str, rgb: np.ndarray, alpha: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Where from, and mattes (h, w) float32."""
    yield "true", alpha
    coarse = coarse_map(alpha, zlib.crc32(name.encode()))
    yield "refined, fast", refine_outline(rgb, coarse)
    model = open_model(device="cpu")
    yield "refined, best", refine_outline(rgb, coarse, model.matting.run)
    if name.startswith("person"):
        for quality in ("fast", "best"):
            found = find_hair(Photo(rgb), model.adjusted(quality)).matte
            if iou(found >= 0.5, alpha >= 0.5) >= FOUND:
                yield f"found, {quality}", found


def measure_rendered(name: str, layers: Layers, shown: list | None = None) -> list[dict]:
    """Records of one picture; its crops are added to `shown`."""
    rgb, alpha, records = layers.picture(), layers.alpha, []
    photo, edge = Photo(rgb), (alpha > EDGE[0]) & (alpha < EDGE[1])
    tone = measure_tone(*sample_photo(photo, alpha))
    truths = {}
    for shade in SHADES:
        truths[shade] = true_picture(layers, tone, find_shade(shade).rgb)
    for matte_name, matte in mattes(name, rgb, alpha):
        plain = Hair(matte, 0.3, tone=tone)
        hair = replace(plain, edges=find_edge_colors(photo, matte))
        for shade, truth in truths.items():
            expected = rgb2lab(truth[edge] / 255)
            seen = {
                way: blend(rgb, recolor_layer(photo, how, shade), matte)
                for way, how in (("all hair", plain), ("ships", hair))
            }
            errors = {
                way: float(deltaE_ciede2000(expected, rgb2lab(picture[edge] / 255)).mean())
                for way, picture in seen.items()
            }
            # The best that any layer could show through that matte, within levels 1 to 254.
            p = matte[edge][:, None]
            layer = np.clip((truth[edge] / 255 - (1 - p) * rgb[edge] / 255) / np.maximum(p, 1e-4), 1 / 255, 254 / 255)
            best = np.round(255 * (rgb[edge] / 255 + p * (layer - rgb[edge] / 255))) / 255
            errors["any layer"] = float(deltaE_ciede2000(expected, rgb2lab(best)).mean())
            records.append({"picture": name, "matte": matte_name, "shade": shade, **errors})
            if shown is not None and shade == SHADES[0]:
                shown.append([rgb, truth, *seen.values(), np.uint8(matte * 255)[..., None].repeat(3, 2)])
    return records


def format_rendered(records: list[dict]) -> str:
    lines = [
        "| pictures | matte | n | as if all were hair | ships | share | worst share | any layer |",
        "|---" * 8 + "|",
    ]
    for kind in ("strands", "person"):
        for matte in dict.fromkeys(record["matte"] for record in records):
            for shade in (*SHADES, "all"):
                these = [
                    r
                    for r in records
                    if r["picture"].startswith(kind) and r["matte"] == matte and shade in (r["shade"], "all")
                ]
                if these:
                    old, new = (np.array([r[way] for r in these]) for way in ("all hair", "ships"))
                    lines.append(
                        f"| {kind} | {matte}, {shade} | {len(these)} | {old.mean():.2f} | {new.mean():.2f} "
                        f"| {new.mean() / old.mean():.0%} | {(new / old).max():.0%} "
                        f"| {np.mean([r['any layer'] for r in these]):.2f} |"
                    )
    return "\n".join(lines)


# Photos


def portraits(data: Path, choose: bool) -> Iterator[tuple[str, Photo, np.ndarray]]:
    """Name, photo and mask (h, w) bool of the dark-haired portraits."""
    for name in PORTRAITS:
        for image, mask in find_pairs(data / name / "images", data / name / "masks"):
            if zlib.crc32(image.stem.encode()) % 10 != int(choose):
                continue
            hair = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > 127
            if not PORTRAIT_HAIR[0] <= hair.mean() <= PORTRAIT_HAIR[1]:
                continue
            photo = read_photo(image)
            lightness = cv2.cvtColor(photo.rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[..., 0]
            if photo.rgb.shape[:2] == hair.shape and np.median(lightness[hair]) <= DARK:
                yield f"{name}/{image.stem}", photo, hair


def luma(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w) float32, 0…255 (ITU-R BT.601)."""
    return cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY)


def rim(rgb: np.ndarray, hair: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the outline that are RIM levels lighter than both its sides, and the outline's pixels: (h, w) bool each.

    hair: (h, w) bool, the true mask. matte: (h, w) float32, what was dyed. The outline is what is dyed within OUTLINE of the
    mask's border. Its sides at a place are the hair and the rest from OUTLINE's end to twice as far, up to SIDE from the
    place, each as light as its lightest spot of 3 x 3 pixels there.
    """
    light, side = luma(rgb), max(hair.shape)
    inner, outer = (max(2.0, part * side) for part in OUTLINE)
    reach = max(2, round(SIDE * side))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    outline, lightest = matte > DYED, np.zeros_like(light)
    for where, end in ((hair, inner), (~hair, outer)):
        far = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 5)
        zone = (far > outer) & (far <= 2 * outer)
        here = cv2.dilate(np.where(zone, cv2.blur(light, (3, 3)), np.float32(-1)), kernel)
        outline &= (far <= end) & (here >= 0)
        lightest = np.maximum(lightest, here)
    return outline & (light > lightest + RIM), outline


def measure_portrait(name: str, photo: Photo, mask: np.ndarray, model, shown: list | None = None) -> dict:
    """The shares of one photo; its crops are added to `shown`."""
    hair = find_hair(photo, model)
    plain = replace(hair, edges=None)
    seen = {
        way: blend(photo.rgb, recolor_layer(photo, how, PORTRAIT_SHADE), hair.matte)
        for way, how in (("all hair", plain), ("ships", hair))
    }
    rims = {way: rim(rgb, mask, hair.matte) for way, rgb in {"the photo": photo.rgb, **seen}.items()}
    own, outline = rims["the photo"]
    if shown is not None:
        marked = photo.rgb.copy()
        marked[outline] = marked[outline] // 2 + np.array([0, 60, 0], np.uint8)
        marked[rims["all hair"][0]] = (255, 255, 0)
        marked[rims["ships"][0]] = (255, 0, 0)
        shown.append([photo.rgb, *seen.values(), np.uint8(hair.matte * 255)[..., None].repeat(3, 2), marked])
    count = max(1, outline.sum())
    shares = {way: float(where.sum() / count) for way, (where, _) in rims.items()}
    fresh = {f"{way}, new": float((where & ~own).sum() / count) for way, (where, _) in rims.items() if way in seen}
    return {"name": name, **shares, **fresh}


def format_portraits(records: list[dict]) -> str:
    ways = [way for way in records[0] if way != "name"]
    lines = [f"{len(records)} photos", "", "| light rims | mean | 95 % of photos below | worst |", "|---" * 4 + "|"]
    for way in ways:
        shares = np.array([record[way] for record in records])
        lines.append(f"| {way} | {shares.mean():.1%} | {np.quantile(shares, 0.95):.1%} | {shares.max():.1%} |")
    return "\n".join(lines)


def write_sheet(rows: list[list[np.ndarray]], path: Path, side: int = 320) -> None:
    """All pictures at their own scale, a row each."""
    height = max(row[0].shape[0] for row in rows)
    width = max(row[0].shape[1] for row in rows)
    padded = [
        np.hstack([np.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]), (0, 0))) for x in row]) for row in rows
    ]
    cv2.imwrite(str(path), np.vstack(padded)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="six pictures instead of sixteen")
    parser.add_argument("--choose", action="store_true", help="other pictures, by which settings may be chosen")
    parser.add_argument("--data", type=Path, help="folder of data sets (see held_out.py): photos instead")
    parser.add_argument("--quality", default="fast", help="of find_hair on photos")
    parser.add_argument("--limit", type=int, help="only the first so many photos")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="all pictures, as they are seen")
    args = parser.parse_args()
    records: list[dict] = []
    shown: list | None = [] if args.sheet else None
    if args.data:
        model = open_model(device="cpu").adjusted(args.quality)
        for number, portrait in enumerate(portraits(args.data, args.choose)):
            if number == args.limit:
                break
            records.append(measure_portrait(*portrait, model, shown))
        print(format_portraits(records))
    else:
        for name, layers in pictures(args.quick, args.choose):
            records += measure_rendered(name, layers, shown)
        print(format_rendered(records))
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n")
    if shown:
        write_sheet(shown, args.sheet)


if __name__ == "__main__":
    main()
