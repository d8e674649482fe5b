"""The worker's peak memory for one layer, by pixel format and wish: python benchmarks/memory.py [--side 6000]

A new worker for each, as the plug-in starts it; its peak is Linux's VmHWM. The layer is scikit-image's astronaut.
Beside it, what the plug-in asks for before it reads a layer (`check_room` in gimp_plugin/hair_recolor/layers.py).
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from hairmask_core import __version__

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "gimp_plugin" / "hair_recolor"))
import worker_client  # noqa: E402

FORMATS = {"u8": (np.uint8, 255), "u16": (np.uint16, 65535), "float": (np.float32, 1)}
SHADE = {"shade": "copper", "tips": None, "strength": 1.0, "output": "layer", "people": "together", "force": True}
HAIR = {"engine": "whole", "step": 8, "quality": "fast", "refine": True, "model": None, "device": "cpu"}
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


def asked_for(kind: str, pixels: int, wish: dict) -> float:
    """Bytes that the plug-in wants to be free; its numbers are read from its source, which needs GIMP to run."""
    source = (REPOSITORY / "gimp_plugin/hair_recolor/layers.py").read_text(encoding="utf-8")
    numbers = {name: eval(value) for name, value in re.findall(r"^(\w+_BYTES) = ([^#\n]+)", source, flags=re.M)}
    more = numbers["MORE_BYTES"] if wish["people"] == "each" or wish["tips"] else 0
    return numbers["NETWORK_BYTES"][wish["engine"]] + pixels * (numbers["WORKER_BYTES"][kind] + more)


def peak(kind: str, side: int, wish: dict) -> int:
    """Bytes at most."""
    dtype, full = FORMATS[kind]
    rgb = cv2.resize(skimage.data.astronaut(), (side, side))
    rgba = (np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]).astype(np.float32) * (full / 255)).astype(dtype)
    settings = {"python": sys.executable, "version": __version__, "repair": ""}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "worker"
        directory.mkdir(mode=0o700)
        transport = {"type": kind, "mask_type": "u8" if kind == "u8" else "float"}
        request, _ = worker_client.make_request(directory, (side, side), transport, wish, 0)
        (directory / request["pixels"]).write_bytes(rgba.tobytes())

        def read_peak(result: dict) -> int:
            connection, hello = worker_client._try_connect(directory)
            connection.close()
            status = Path(f"/proc/{hello['pid']}/status").read_text()
            return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])

        found = worker_client.ask(settings, directory, request, lambda fraction, text: None, read_peak)
        worker_client.stop(directory)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=6000)
    args = parser.parse_args()
    print(f"{args.side}x{args.side} pixels, gigabytes: the worker's peak, and what the plug-in asks for")
    for kind, changes in CASES:
        wish = {**HAIR, **SHADE, **changes}
        found, asked = peak(kind, args.side, wish), asked_for(kind, args.side**2, wish)
        print(f"  {kind:6}{str(changes or ''):24}{found / 1e9:6.2f}{asked / 1e9:6.2f}", flush=True)


if __name__ == "__main__":
    main()
