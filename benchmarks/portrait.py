"""Seconds for one photo, cold and warm, on the command line and through the worker.

    python benchmarks/portrait.py PHOTO [--runs 5] [--json FILE]

Cold: a new process, or a worker that is not running. Warm: the worker runs and has its model loaded;
"new photo" has its mask to find, "new shade" finds it in the cache. Run it with the Python of an
environment in which the product is installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hairmask_core import __version__
from hairmask_core.options import Options, Request
from hairmask_core.photo.files import read_photo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "gimp_plugin" / "hair_recolor"))
import client  # noqa: E402


def command_line(photo: Path, scratch: Path) -> float:
    """Seconds for a whole process of `hairmask recolor`."""
    command = [
        sys.executable,
        "-I",
        "-m",
        "hairmask_core",
        "recolor",
        photo,
        "--shade",
        "copper",
        "-o",
        scratch / "out.png",
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def through_worker(rgba: np.ndarray, directory: Path, shade: str) -> float:
    """Seconds for one request from pixels in a file to pixels in files; starts the worker if none runs."""
    settings = {"python": sys.executable, "version": __version__, "repair": ""}
    options = Options(shade=shade, force=True)
    request = Request.of_layer(options, (rgba.shape[1], rgba.shape[0]), "u8", "u8")
    (directory / request.pixels).write_bytes(rgba.tobytes())
    began = time.perf_counter()
    client.ask(settings, directory, request, lambda fraction, text: None, lambda result: None)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rgb = read_photo(args.photo).rgb
    rgba = np.dstack([rgb, np.full(rgb.shape[:2], 255, rgb.dtype)])
    found = {name: [] for name in ("command line", "worker cold", "worker warm, new photo", "worker warm, new shade")}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "worker"
        directory.mkdir(mode=0o700)
        for run in range(args.runs):
            found["command line"].append(command_line(args.photo, Path(scratch)))
            found["worker cold"].append(through_worker(rgba, directory, "copper"))
            rgba[0, 0, 0] = run  # a photo that the worker has not seen
            found["worker warm, new photo"].append(through_worker(rgba, directory, "copper"))
            found["worker warm, new shade"].append(through_worker(rgba, directory, "blue"))
            client.stop(directory)
    print(f"{rgb.shape[1]}x{rgb.shape[0]} pixels, median of {args.runs} runs (smallest, largest)")
    for name, seconds in found.items():
        print(f"  {name:<24}{statistics.median(seconds):.3f} s ({min(seconds):.3f}, {max(seconds):.3f})")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
