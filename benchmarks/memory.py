"""The worker's peak memory for one layer, by pixel format and options: python benchmarks/memory.py [--side 6000]

A new worker for each, as the plug-in starts it; its peak is Linux's VmHWM. The layer is scikit-image's astronaut.
Beside it, what the plug-in asks for before it reads a layer (`Request.bytes_in_memory`).
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from hairmask_core import __version__
from hairmask_core.options import Options, Request

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "gimp_plugin" / "hair_recolor"))
import client  # noqa: E402

FORMATS = {"u8": (np.uint8, 255), "u16": (np.uint16, 65535), "float": (np.float32, 1)}
USUAL = Options(shade="copper", step=8, device="cpu", force=True)
CASES = [
    ("u8", {}),
    ("u8", {"quality": "best"}),
    ("u8", {"tips": "platinum"}),
    ("u8", {"people": "each"}),
    ("u8", {"engine": "texture"}),
    ("u16", {}),
    ("float", {}),
    ("float", {"tips": "platinum"}),
]


def peak(kind: str, side: int, options: Options) -> tuple[int, float]:
    """Bytes at most, and those that the plug-in wants to be free."""
    dtype, full = FORMATS[kind]
    rgb = cv2.resize(skimage.data.astronaut(), (side, side))
    rgba = (np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]).astype(np.float32) * (full / 255)).astype(dtype)
    settings = {"python": sys.executable, "version": __version__, "repair": ""}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "worker"
        directory.mkdir(mode=0o700)
        request = Request.of_layer(options, (side, side), kind, "u8" if kind == "u8" else "float")
        (directory / request.pixels).write_bytes(rgba.tobytes())

        def read_peak(result: dict) -> int:
            connection, hello = client.try_connect(directory)
            connection.close()
            status = Path(f"/proc/{hello['pid']}/status").read_text()
            return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])

        found = client.ask(settings, directory, request, lambda fraction, text: None, read_peak)
        client.stop(directory)
    return found, request.bytes_in_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=6000)
    args = parser.parse_args()
    print(f"{args.side}x{args.side} pixels, gigabytes: the worker's peak, and what the plug-in asks for")
    for kind, changes in CASES:
        found, asked = peak(kind, args.side, replace(USUAL, **changes))
        print(f"  {kind:6}{str(changes or ''):24}{found / 1e9:6.2f}{asked / 1e9:6.2f}", flush=True)


if __name__ == "__main__":
    main()
