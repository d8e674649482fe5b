"""Mask and recolor of large photos through the worker, in passes over the photo.

    python benchmarks/pipeline.py [--quick] [--runs 3] [--json FILE]

One *pass* is OpenCV's 8-bit RGB -> Lab -> RGB of the same photo, measured in the same run: how long this machine needs
to compute something for every pixel once. The photo is scikit-image's portrait of an astronaut, enlarged to a square of
so many megapixels. The worker is warm: it runs and has its model loaded. Pixels go to it and come from it as in GIMP,
through files; nothing is decoded. "first": a photo that it has not seen, mask and recolor. "new shade": the same photo
again in another shade. "numpy": the recoloring alone in plain numpy by the same formulas (`recolor_in_numpy`). `peak_mb`
is the worker's memory at its highest.

Run it with the Python of an environment in which the product is installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from portrait import client, through_worker

from hairmask_core.color.gamut import LINEAR_RANGE
from hairmask_core.color.kernels import KEPT_VARIATION, VARIATION_LIMIT
from hairmask_core.color.shades import find_shade
from hairmask_core.color.tone_curve import make_transform
from hairmask_core.hair.tone import HairTone
from hairmask_core.photo.oklab import LAB_TO_LMS, LMS_TO_LAB, LMS_TO_RGB, RGB_TO_LMS

SIZES = (1, 2, 12, 24, 100)
QUICK = (1, 24)
SHADES = ("copper", "platinum", "blue", "black")
TONE = HairTone(0.45, 0.03, 0.05, 0.25, 0.7)  # brown hair, for the formulas alone
NUMPY_PIXELS = 1 << 24  # of a photo at a time in plain numpy, which would not fit into memory otherwise


def enlarge(megapixels: float) -> np.ndarray:
    """The astronaut as a square of so many megapixels, (s, s, 4) uint8, opaque."""
    side = round((megapixels * 1e6) ** 0.5)
    rgb = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)


def one_pass(rgb: np.ndarray) -> None:
    cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), cv2.COLOR_Lab2RGB)


def recolor_in_numpy(rgb: np.ndarray, shade: tuple[float, float, float]) -> np.ndarray:
    """`hairmask_core.color.recolor.recolor` of hair of TONE at full strength: (H, W, 3) uint8, by its formulas."""
    dye = make_transform(TONE, shade)
    x = rgb.astype(np.float32) / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(linear @ RGB_TO_LMS.T.astype(np.float32)) @ LMS_TO_LAB.T.astype(np.float32)
    grid = np.linspace(0, 1, dye.curves.shape[1])
    lightness, usual, given = (np.interp(lab[..., 0], grid, curve)[..., None] for curve in dye.curves)
    vary = lab[..., 1:] - usual * dye.old
    keep = KEPT_VARIATION / (1 + np.linalg.norm(vary, axis=-1, keepdims=True) / VARIATION_LIMIT)
    new = np.concatenate([lightness, given * dye.new + keep * vary], axis=-1)
    linear, gray = (new @ LAB_TO_LMS.T) ** 3 @ LMS_TO_RGB.T, lightness[..., 0] ** 3
    above = (linear.max(axis=-1) - gray) / (LINEAR_RANGE[1] - gray)
    below = (gray - linear.min(axis=-1)) / (gray - LINEAR_RANGE[0])
    share = 1 / np.maximum(np.maximum(above, below), 1)
    linear = gray[..., None] + share[..., None] * (linear - gray[..., None])
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(255 * encoded), 0, 255).astype(np.uint8)


def seconds(work: Callable[[int], object], runs: int) -> float:
    """Median time of so many runs; `work` gets the run's number."""
    times = []
    for run in range(runs):
        began = time.perf_counter()
        work(run)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def worker_status(directory: Path) -> Path:
    """The folder of /proc of the worker that serves `directory`."""
    connection, hello = client.try_connect(directory)
    connection.close()
    return Path("/proc") / str(hello["pid"])


def measure(megapixels: float, directory: Path, runs: int) -> dict:
    """One record of the table."""
    rgba = enlarge(megapixels)
    rgb = np.ascontiguousarray(rgba[..., :3])
    one_pass(rgb[:64])
    record = {"megapixels": megapixels, "seconds_pass": seconds(lambda run: one_pass(rgb), max(runs, 3))}
    process = worker_status(directory)
    (process / "clear_refs").write_text("5")
    first, again = [], []
    for run in range(runs):
        rgba[0, 0, 0] = run  # a photo that the worker has not seen
        first.append(through_worker(rgba, directory, SHADES[run % len(SHADES)]))
        again.append(through_worker(rgba, directory, SHADES[(run + 1) % len(SHADES)]))
    record |= {"seconds_first": statistics.median(first), "seconds_new_shade": statistics.median(again)}
    record["peak_mb"] = int((process / "status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    rows = max(1, NUMPY_PIXELS // rgb.shape[1])
    pieces = [rgb[top : top + rows] for top in range(0, len(rgb), rows)]
    copper = find_shade("copper").rgb
    record["seconds_numpy"] = seconds(lambda run: [recolor_in_numpy(piece, copper) for piece in pieces], 1)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 24 megapixels only; under 50 seconds on 2 cores")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "worker"
        directory.mkdir(mode=0o700)
        try:
            through_worker(enlarge(0.25), directory, "copper")  # starts the worker, which loads its model
            records = [measure(size, directory, args.runs) for size in (QUICK if args.quick else SIZES)]
        finally:
            client.stop(directory)
    print("| megapixels | pass s | first s | passes | new shade s | passes | peak MB | numpy s | numpy / new shade |")
    print("|---" * 9 + "|")
    for r in records:
        first, again = r["seconds_first"], r["seconds_new_shade"]
        print(
            f"| {r['megapixels']} | {r['seconds_pass']:.3f} | {first:.3f} | {first / r['seconds_pass']:.1f} "
            f"| {again:.3f} | {again / r['seconds_pass']:.1f} | {r['peak_mb']:.0f} | {r['seconds_numpy']:.2f} "
            f"| {r['seconds_numpy'] / again:.0f} |"
        )
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
