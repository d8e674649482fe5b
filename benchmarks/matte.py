"""Ways to bring the coarse probability map to full resolution, measured on hair whose alpha is known exactly.

    python benchmarks/matte.py [--quick] [--limit N] [--only NAME ...] [--pictures FOLDER] [--json FILE]
                               [--sheet FILE.png]
    python benchmarks/matte.py --sizes [--only NAME ...] [--json FILE]
    python benchmarks/matte.py --data DATA [--json FILE]

The pictures are those of synthetic/strands.py. The coarse map is what a segmentation network would give of them: their
alpha at the network's working scale, blurred, pushed about by a pixel or so, and hardened, so that single strands are
lost (`coarse_map`). Every method gets that map and the picture; those that need a trimap get the same one, a band
around the map's outline (`make_trimap`).

--pictures: where `python -m synthetic.strands --out FOLDER` left them; else they are drawn, which takes minutes for the large ones.
--sizes: seconds and memory at 2, 12, 24 and 100 megapixels instead, on the first picture enlarged.

--data: the photos kept for reports instead, with the masks that people drew, and the default network's own maps.

Printed, a row a method: means over the pictures of SAD, MSE, gradient and connectivity error (Rhemann et al. 2009,
matting_errors.py), boundary F and IoU; seconds at each size; the process's highest memory.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from dense import forget_peak, peak_megabytes
from held_out import held_out_pairs
from matting_errors import connectivity_error, gradient_error, mse, sad

from hairmask_core.evaluation.evaluate import evaluate
from hairmask_core.evaluation.metrics import boundary_f_score, iou
from hairmask_core.inference.network import Network
from hairmask_core.matting.guided_filter import guided_filter_coefficients
from hairmask_core.matting.upsampling import WORK_LONG_SIDE, enlarge_map, refine_outline
from hairmask_core.photo.files import read_photo
from hairmask_core.pipeline import assemble, segment_photo
from hairmask_core.segmentation.segmenter import open_model

sys.path.append(str(Path(__file__).resolve().parent.parent))  # synthetic/
from synthetic.strands import Scene, render, scenes  # noqa: E402

LONG_SIDE = 320  # of the coarse map, as the default network's
BAND = 0.03  # of the long side: half the width of the trimap's unknown band around the map's outline
ERRORS = {"sad": sad, "mse": mse, "gradient": gradient_error, "connectivity": connectivity_error}
CLOSED_FORM_PIXELS = 1.2e6  # beyond, it takes minutes a picture
SIZES = (2, 12, 24, 100)  # megapixels
PHOTOS = ("figaro1k", "celebamask", "celebahq", "ccp", "lfw")
FIGURES = ("iou", "pixel_accuracy", "boundary_f_score")
IN_MEMORY, LARGEST_IN_MEMORY = ("guided filter, gray", "guided filter, color"), 24  # everything at full size


def coarse_map(alpha: np.ndarray, seed: int) -> np.ndarray:
    """The alpha (H, W) as a coarse map of LONG_SIDE pixels, float32 in 0…1."""
    rng = np.random.default_rng(seed)
    scale = LONG_SIDE / max(alpha.shape)
    size = (round(alpha.shape[1] * scale), round(alpha.shape[0] * scale))
    small = cv2.GaussianBlur(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    push = cv2.resize(
        rng.normal(0, 1, (2, 16, 16)).transpose(1, 2, 0).astype(np.float32), size, interpolation=cv2.INTER_CUBIC
    )
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    small = cv2.remap(small, x + push[..., 0], y + push[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return 1 / (1 + np.exp(-10 * (small - 0.45)))


def make_trimap(coarse: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width) float32: 1 surely hair, 0 surely not, 0.5 unknown: where the map is undecided and around."""
    p = enlarge_map(coarse, width, height)
    unknown = ((p > 0.05) & (p < 0.95)).astype(np.uint8)
    radius = max(1, round(BAND * max(width, height)))
    unknown = cv2.dilate(unknown, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)) > 0
    return np.where(unknown, np.float32(0.5), (p >= 0.5).astype(np.float32))


# Methods: picture (H, W, 3) uint8 and coarse map -> matte (H, W) float32, or None where they cannot.


def upscaled(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    return enlarge_map(coarse, rgb.shape[1], rgb.shape[0])


def guided_gray(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    return guided(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2), coarse)


def guided(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Guided filter at full resolution (He, Sun, Tang 2013)."""
    height, width = rgb.shape[:2]
    guide = rgb.astype(np.float32) / 255
    radius = round(2 * max(height, width) / LONG_SIDE)
    c = enlarge_map(guided_filter_coefficients(guide, enlarge_map(coarse, width, height), radius, 1e-3), width, height)
    return np.clip((c[..., :3] * guide).sum(2) + c[..., 3], 0, 1)


def closed_form(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray | None:
    """PyMatting's closed-form matting (Levin et al. 2008) on the trimap."""
    if rgb.shape[0] * rgb.shape[1] > CLOSED_FORM_PIXELS:
        return None
    from pymatting import estimate_alpha_cf

    trimap = make_trimap(coarse, rgb.shape[1], rgb.shape[0])
    if not {0.0, 1.0} <= set(np.unique(trimap)):  # it needs some of both
        return None
    return estimate_alpha_cf(rgb.astype(np.float64) / 255, trimap.astype(np.float64)).astype(np.float32)


@functools.cache
def network() -> Network:
    return open_model(device="cpu").matting


def matting_network(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """What ships as quality "best": `refine_outline` with the network that the default card names."""
    return refine_outline(rgb, coarse, network().run)


def network_then_guided(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The network's matte, reduced, as the map of the guided filter."""
    height, width = rgb.shape[:2]
    scale = min(1.0, WORK_LONG_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    return refine_outline(rgb, cv2.resize(matting_network(rgb, coarse), size, interpolation=cv2.INTER_AREA))


def guided_then_network(rgb: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The guided filter's matte, reduced, as the network's map."""
    size = (coarse.shape[1] * 2, coarse.shape[0] * 2)
    return matting_network(rgb, cv2.resize(refine_outline(rgb, coarse), size, interpolation=cv2.INTER_AREA))


METHODS: dict[str, Callable] = {
    "upscaled": upscaled,
    "guided filter, gray": guided_gray,
    "guided filter, color": guided,
    "guided filter, fast": refine_outline,
    "matting network": matting_network,
    "network, then guided": network_then_guided,
    "guided, then network": guided_then_network,
    "closed form": closed_form,
}


def measure(method: Callable, rgb: np.ndarray, alpha: np.ndarray, coarse: np.ndarray) -> tuple[dict, np.ndarray] | None:
    """Figures of one method on one picture, and its matte."""
    forget_peak()
    began = time.perf_counter()
    matte = method(rgb, coarse)
    taken = time.perf_counter() - began
    if matte is None:
        return None
    figures = {name: error(matte, alpha) for name, error in ERRORS.items()}
    found, truth = matte >= 0.5, alpha >= 0.5
    figures |= {"boundary_f": boundary_f_score(found, truth), "iou": iou(found, truth)}
    return figures | {"seconds": taken, "peak_mb": peak_megabytes()}, matte


def measure_sizes(names: list[str]) -> list[dict]:
    """Seconds and memory of each method at each size, on the first picture enlarged."""
    scene = scenes()[0]
    picture, alpha = render(scene)
    coarse, records = coarse_map(alpha, scene.number), []
    for megapixels in SIZES:
        scale = (megapixels * 1e6 / alpha.size) ** 0.5
        rgb = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for name in names:
            if megapixels > LARGEST_IN_MEMORY and name in IN_MEMORY:
                continue
            forget_peak()
            began = time.perf_counter()
            if METHODS[name](rgb, coarse) is not None:
                taken = time.perf_counter() - began
                records.append(
                    {"megapixels": megapixels, "method": name, "seconds": taken, "peak_mb": peak_megabytes()}
                )
    return records


def measure_photos(data: Path) -> list[dict]:
    """Mean figures on each data set's held-out photos: the network's map as it is, and refined in two ways."""
    model, records = open_model(device="cpu"), []
    ways = {"the map": (False, None), "guided filter": (True, None), "matting network": (True, model.matting.run)}
    print("| photos | refined by | IoU | pixel accuracy | boundary F |\n" + "|---" * 5 + "|")
    for name in PHOTOS:
        files = held_out_pairs(data, name)
        seen = [segment_photo(read_photo(image), model) for image, _ in files]
        for way, how in ways.items():
            crops = iter(seen)
            mean = evaluate(files, lambda photo: assemble(photo, next(crops), *how))["mean"]
            records.append({"set": name, "refined_by": way} | {figure: mean[figure] for figure in FIGURES})
            cells = " | ".join(f"{mean[figure]:.4f}" for figure in FIGURES)
            print(f"| {name} | {way} | {cells} |", flush=True)
    return records


def format_sizes(records: list[dict]) -> str:
    """A row a method, seconds and peak MB at each size, in Markdown."""
    lines = [
        "| method | " + " | ".join(f"{size} MP: s | MB" for size in SIZES) + " |",
        "|---" * (2 * len(SIZES) + 1) + "|",
    ]
    for method in dict.fromkeys(r["method"] for r in records):
        found = {r["megapixels"]: r for r in records if r["method"] == method}
        cells = [f"{found[s]['seconds']:.2f} | {found[s]['peak_mb']:.0f}" if s in found else " | " for s in SIZES]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read_picture(scene: Scene, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its alpha, as `render` gives them, from the files of synthetic/strands.py."""
    picture = cv2.imread(str(folder / f"{scene.name}.png"), cv2.IMREAD_COLOR)[..., ::-1]
    alpha = cv2.imread(str(folder / f"{scene.name}-alpha.png"), cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(picture), alpha.astype(np.float32) / 65535


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="six small pictures, under 50 seconds on 2 cores")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--only", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--data", type=Path, help="folder of data sets (see held_out.py)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="a contact sheet of the first pictures")
    args = parser.parse_args()
    records, sheet = [], []
    if args.sizes:
        records = measure_sizes(args.only)
        print(format_sizes(records))
    if args.data:
        records = measure_photos(args.data)
    for scene in [] if args.sizes or args.data else scenes()[: 6 if args.quick else args.limit]:
        rgb, alpha = read_picture(scene, args.pictures) if args.pictures else render(scene)
        coarse = coarse_map(alpha, scene.number)
        shown = [rgb, alpha]
        for name in args.only:
            measured = measure(METHODS[name], rgb, alpha, coarse)
            if measured:
                records.append({"picture": scene.name, "megapixels": scene.megapixels, "method": name, **measured[0]})
                shown.append(measured[1])
        if args.sheet and scene.megapixels == 1:
            sheet.append(shown)
        print(scene.name, flush=True)
    if not args.sizes and not args.data:
        print(format_table(records))
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n")
    if args.sheet:
        draw_sheet(sheet, args.sheet)


def format_table(records: list[dict]) -> str:
    """Means by method and size, in Markdown; the errors in per cent of the upscaled map's as well."""
    sizes = sorted({r["megapixels"] for r in records})
    figures = [*ERRORS, "boundary_f", "iou"]
    lines = []
    for megapixels in sizes:
        here = [r for r in records if r["megapixels"] == megapixels]
        count = len({r["picture"] for r in here})
        lines += ["", f"{megapixels:g} megapixels, {count} pictures", ""]
        lines += ["| method | " + " | ".join(figures) + " | seconds | peak MB |", "|---" * (len(figures) + 3) + "|"]
        for method in dict.fromkeys(r["method"] for r in here):
            mean = {k: np.mean([r[k] for r in here if r["method"] == method]) for k in (*figures, "seconds", "peak_mb")}
            cells = [f"{mean[k]:.4f}" if k in ("mse", "boundary_f", "iou") else f"{mean[k]:.2f}" for k in figures]
            lines.append(f"| {method} | " + " | ".join(cells) + f" | {mean['seconds']:.2f} | {mean['peak_mb']:.0f} |")
    return "\n".join(lines)


def draw_sheet(rows: list[list[np.ndarray]], path: Path) -> None:
    """The middle of each picture, its alpha and the mattes, at full resolution."""
    drawn = []
    for pictures in rows:
        height, width = pictures[0].shape[:2]
        top, left = height // 8, width // 4
        cells = []
        for picture in pictures:
            crop = picture[top : top + 300, left : left + 300]
            if crop.ndim == 2:
                crop = np.round(crop * 255).astype(np.uint8)[..., None].repeat(3, 2)
            cells.append(crop[..., ::-1])
        drawn.append(np.hstack(cells))
    width = max(row.shape[1] for row in drawn)  # closed form is not there for every picture
    cv2.imwrite(str(path), np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in drawn]))


if __name__ == "__main__":
    main()
