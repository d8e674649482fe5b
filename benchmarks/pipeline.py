"""Mask and recolor of large photos through the worker, in passes over the photo.

    python benchmarks/pipeline.py [--quick] [--runs 3] [--json FILE]

One *pass* is OpenCV's 8-bit RGB -> Lab -> RGB of the same photo, measured in the same run: how long this machine needs
to compute something for every pixel once. The photo is scikit-image's portrait of an astronaut, enlarged to a square of
so many megapixels, its side a multiple of 16, as cameras' are. The worker is warm: it runs and has its model loaded.
Pixels go to it and come from it as in GIMP, through files; nothing is decoded. "first": a photo that it has not seen, mask
and recolor. "new shade": the same photo again in another shade. `peak_mb` is the worker's memory at its highest.

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

SIZES = (1, 2, 12, 24, 100)
QUICK = (1, 24)
SHADES = ("copper", "platinum", "blue", "black")


def enlarge(megapixels: float) -> np.ndarray:
    """The astronaut as a square of about so many megapixels, (s, s, 4) uint8, opaque."""
    side = 16 * round((megapixels * 1e6) ** 0.5 / 16)
    rgb = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)


def one_pass(rgb: np.ndarray) -> None:
    cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), cv2.COLOR_Lab2RGB)


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
    print("| megapixels | pass s | first s | passes | new shade s | passes | peak MB |")
    print("|---" * 7 + "|")
    for r in records:
        first, again = r["seconds_first"], r["seconds_new_shade"]
        print(
            f"| {r['megapixels']} | {r['seconds_pass']:.3f} | {first:.3f} | {first / r['seconds_pass']:.1f} "
            f"| {again:.3f} | {again / r['seconds_pass']:.1f} | {r['peak_mb']:.0f} |"
        )
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
