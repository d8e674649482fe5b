"""What stylists see first in a matte, on rendered hair that shows it: three kinds of pictures, a figure for each fault.

python benchmarks/matte_faults.py [--count 4] [--sheet FOLDER]

- curls before a busy background, whose map runs straight over them: "cut off", the share of the hair beyond the map that the
  matte lacks;
- thin ends over patterned cloth: "patches", the mean matte on bare cloth near hair;
- dark hair with a sensor's noise and JPEG's blocks: "speckles", the share of pixels well inside the hair of which the matte lacks
  a fifth or more.

Each figure is printed for every kind. The first row is a bad result by hand: the network's matte with curls, patches and
speckles made worse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from matte import coarse_map, matting_network, upscaled

from hairmask_core.matting.upsampling import enlarge_map, refine_outline

sys.path.append(str(Path(__file__).resolve().parent.parent))  # synthetic/
from synthetic.strands import Scene, render_layers  # noqa: E402
from synthetic.surfaces import draw_cloth  # noqa: E402

KINDS = ("curls before a busy background", "thin ends over patterned cloth", "noise in dark hair")
FIGURES = ("cut off", "patches", "speckles")
MEGAPIXELS = 1.0
FIRST_NUMBER = 60  # of the scenes; those of synthetic/strands.py end before
BUSY = ("coffee", "motorcycle", "brick", "gravel", "rocket", "grass")
SMOOTH_MAP = 4.0  # pixels of the coarse map by which that of curls is blurred before it is hardened again
DARK = 17.0  # mean level of dark hair
NEAR, INSIDE = 0.02, 4  # of the long side, within which cloth is near hair; pixels that are well inside
LACKING = 0.2


def draw(kind: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture (h, w, 3) uint8, its hair's alpha (h, w) float32 and a coarse map of it."""
    styles = (("curly", "kinky"), ("straight", "wavy"), ("curly", "straight"))[kind]
    scene = Scene(FIRST_NUMBER + number, MEGAPIXELS, styles[number % 2], "wall")
    rng = np.random.default_rng((kind, number))
    layers = render_layers(scene)
    width, height = scene.size
    hair, behind, noise = layers.hair, layers.behind, layers.noise
    if kind == 0:
        name = BUSY[number % len(BUSY)]
        photo = skimage.data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(skimage.data, name)()
        photo = photo[..., None].repeat(3, 2) if photo.ndim == 2 else photo[..., :3]
        behind = cv2.resize(photo.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    elif kind == 1:
        cloth = draw_cloth(max(width, height), rng)[:height, :width]
        y, x = np.mgrid[:height, :width] / rng.uniform(6, 30)
        behind = cloth * (0.6 + 0.4 * ((np.sin(x + 0.3 * y) > 0) ^ (np.sin(y) > 0.5)))[..., None]
    else:
        solid = layers.alpha > 0.9
        hair = hair * (DARK / hair[solid].mean())
        noise = rng.normal(0, rng.uniform(3, 7), (height, width, 3)).astype(np.float32)
    behind = np.clip(behind, 0, 255) * (1 - layers.alpha[..., None]) if kind < 2 else behind
    picture = np.clip(np.round(hair + behind + noise), 0, 255).astype(np.uint8)
    if kind == 2:
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 90))])[1]
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    coarse = coarse_map(layers.alpha, scene.number)
    if kind == 0:
        smooth = cv2.GaussianBlur(coarse, (0, 0), SMOOTH_MAP)
        coarse = (1 / (1 + np.exp(-12 * (smooth - 0.55)))).astype(np.float32)
    return picture, layers.alpha, coarse


def faults(matte: np.ndarray, alpha: np.ndarray, coarse: np.ndarray) -> list[float]:
    """FIGURES of one matte, 0…1, the lower the better."""
    beyond = enlarge_map(coarse, *alpha.shape[::-1]) < 0.5
    lacking = np.maximum(alpha - matte, 0)
    hair = alpha > 0.02
    reach = round(NEAR * max(alpha.shape))
    near = cv2.dilate(hair.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    bare = near & ~hair
    solid = cv2.erode((alpha > 0.98).astype(np.uint8), np.ones((2 * INSIDE + 1, 2 * INSIDE + 1), np.uint8)) > 0
    return [
        float(lacking[beyond].sum() / max(alpha[beyond].sum(), 1)),
        float(matte[bare].mean()),
        float((lacking[solid] > LACKING).mean()),
    ]


def worse(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """All three faults made by hand."""
    matte = np.minimum(matting_network(rgb, coarse), cv2.blur(upscaled(rgb, coarse), (9, 9)) * 1.2)
    matte = np.maximum(matte, 0.9 * cv2.dilate(cv2.blur(matte, (31, 31)), np.ones((21, 21), np.uint8)))
    return matte * (np.random.default_rng(0).random(matte.shape) > 0.05)


METHODS: dict[str, Callable] = {
    "made worse by hand": worse,
    "upscaled": upscaled,
    "guided filter, fast": refine_outline,
    "matting network": matting_network,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4, help="pictures of each kind")
    parser.add_argument("--sheet", type=Path, help="folder for pictures and mattes, side by side")
    args = parser.parse_args()
    print("| pictures | matte | " + " | ".join(FIGURES) + " |\n" + "|---" * (2 + len(FIGURES)) + "|")
    for kind, title in enumerate(KINDS):
        found: dict[str, list] = {name: [] for name in METHODS}
        for number in range(args.count):
            picture, alpha, coarse = draw(kind, number)
            mattes = {name: method(picture, coarse) for name, method in METHODS.items()}
            for name, matte in mattes.items():
                found[name].append(faults(matte, alpha, coarse))
            if args.sheet:
                args.sheet.mkdir(parents=True, exist_ok=True)
                shown = [picture[..., ::-1]]
                shown += [
                    np.round(255 * np.clip(m, 0, 1)).astype(np.uint8)[..., None].repeat(3, 2)
                    for m in (alpha, *list(mattes.values())[1:])
                ]
                cv2.imwrite(str(args.sheet / f"{kind}-{number}.png"), np.hstack(shown))
        for name, figures in found.items():
            print(f"| {title} | {name} | " + " | ".join(f"{100 * f:.1f} %" for f in np.mean(figures, axis=0)) + " |")


if __name__ == "__main__":
    main()
