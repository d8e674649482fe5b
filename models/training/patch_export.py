"""Write a patch classifier as ONNX models of the product, with its card."""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from .export import fold_and_round, write_onnx
from .patch_network import STRIDE, WINDOW, PatchNet, count_operations, dilate


def write_graphs(network: PatchNet, folder: Path, name: str) -> tuple[Path, Path]:
    """The network as it is and with dilations in place of strides: `NAME.onnx` and `NAME-dense.onnx`."""
    paths = folder / f"{name}.onnx", folder / f"{name}-dense.onnx"
    for path, form in zip(paths, (copy.deepcopy(network), dilate(network))):
        write_onnx(fold_and_round(form), path, sizes=((WINDOW, WINDOW), (61, 98), (36, 35)))
    return paths


def milliseconds(path: Path, batch: int = 64, runs: int = 9) -> float:
    """Of 1000 windows, median of several runs on the CPU."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    x, times = np.zeros((batch, 3, WINDOW, WINDOW), np.float32), []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(None, {"rgb": x})
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times) / batch


def count_ways(network: PatchNet) -> dict[str, float]:
    """Multiplications of one window, and of one pixel of a large piece, as it is and with dilations."""
    side = 512
    piece, pixels = side + WINDOW - 1, side**2
    return {
        "window": count_operations(network),
        "strided": count_operations(network, piece) / pixels,
        "dilated": count_operations(dilate(network), piece) / pixels,
    }


def describe_files(paths: tuple[Path, Path]) -> dict:
    """What a card says of the files that `write_graphs` wrote."""
    files = [{"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in paths]
    return {**files[0], "dense": files[1]}


def write_card(network: PatchNet, paths: tuple[Path, Path], long_side: int, details: dict) -> Path:
    """The card beside both graphs. long_side: of the photo, pixels. details: what else it says; see hairmask_core.inference.cards"""
    card = {
        "name": paths[0].stem,
        "task": "patch",
        **describe_files(paths),
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiplications": count_ways(network),
        "input": {
            "layout": "NCHW",
            "dtype": "float32",
            "color": "RGB, sRGB-encoded, 0 to 1",
            "long_side": long_side,
            "window": WINDOW,
            "stride": STRIDE,
            "multiple": 1,
            "mean": 0.5,
            "scale": 2.0,
        },
        "output": "hair probability of each window's center pixel, NCHW, float32, 0 to 1",
        **details,
    }
    path = paths[0].with_suffix(".json")
    path.write_text(json.dumps(card, indent=2) + "\n")
    return path
