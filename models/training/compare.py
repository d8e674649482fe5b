"""Starts, encoders and decoders compared on one budget: python -m models.training.compare --data DATA --out RUNS

Every network gets the same number of steps on samples from the same stream. Printed: mean IoU on Figaro-1k's
validation photos (one pass at 448 pixels, unrefined), parameters, size, depth, and milliseconds of a 448x448 pass.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from torch import nn

from .data import find_pairs, read_pair
from .export import fold_and_round, read_checkpoint, write_onnx
from .network import ENCODERS, HairNet, imagenet_file
from .recipes import Phase, Recipe
from .train import CACHE_LONG_SIDE, train, validate

SIDE = 448
BUDGET = (Phase(192, 8, 300),)
SETS = {"figaro1k": 0.5, "celebamask": 0.2, "ccp": 0.2, "nohair": 0.1}
BASE = Recipe("fine-tuned", SETS, BUDGET)
CONTENDERS = (
    BASE,
    dataclasses.replace(BASE, name="frozen", frozen=True),
    dataclasses.replace(BASE, name="random", start="random"),
    dataclasses.replace(BASE, name="separable-decoder", decoder="separable"),
    dataclasses.replace(BASE, name="fpn-decoder", decoder="fpn"),
    dataclasses.replace(BASE, name="lite0-encoder", encoder="lite0"),
    dataclasses.replace(BASE, name="mobilenetv2-encoder", encoder="mobilenetv2"),
)


def depth(network: HairNet) -> int:
    """Convolutions on the longest way from input to output; the side branches of a feature pyramid are shorter."""
    convolutions = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    return convolutions - len(getattr(network.decoder, "laterals", ()))


def milliseconds(path: Path, runs: int = 30) -> float:
    """Median of one pass of SIDE x SIDE pixels on the CPU."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    x, times = np.zeros((1, 3, SIDE, SIDE), np.float32), []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(None, {"rgb": x})
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mobilenetv2", type=Path, required=True, help="MobileNetV2's ImageNet weights (.npz)")
    args = parser.parse_args()
    photos = [read_pair(p, CACHE_LONG_SIDE) for p in find_pairs(args.data, ("figaro1k",)) if p.is_validation]
    rows = []
    for recipe in CONTENDERS:
        imagenet = args.mobilenetv2 if recipe.encoder == "mobilenetv2" else imagenet_file(recipe.encoder)
        checkpoint = train(recipe, args.data, imagenet, args.out / recipe.name)
        network = read_checkpoint(recipe, checkpoint)
        iou, layers = validate(network, photos, SIDE), depth(network)
        parameters = sum(p.numel() for p in network.parameters())
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "network.onnx"
            write_onnx(fold_and_round(network), path)
            rows.append((recipe, iou, parameters, path.stat().st_size / 1e6, layers, milliseconds(path)))
    print("| encoder | decoder | start | IoU | parameters | MB (float16) | depth | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for recipe, iou, parameters, megabytes, layers, ms in rows:
        start = (
            "ImageNet, frozen" if recipe.frozen else {"imagenet": "ImageNet, fine-tuned"}.get(recipe.start, "random")
        )
        print(
            f"| {ENCODERS[recipe.encoder].title} | {recipe.decoder} | {start} | {iou:.3f} | {parameters / 1e6:.2f} M "
            f"| {megabytes:.1f} | {layers} | {ms:.0f} |"
        )


if __name__ == "__main__":
    main()
