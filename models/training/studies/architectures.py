"""Starts, encoders and decoders compared on one budget.

python -m models.training.studies.architectures --data DATA --out RUNS --mobilenetv2 MOBILENETV2.npz

Every network learns for the same number of steps from the same samples. Printed: mean IoU on Figaro-1k's photos that
choices are made by (one pass at 448 pixels, unrefined), parameters, size, depth, and milliseconds of a 448x448 pass.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from torch import nn

from ..datasets import CLASSES, find_samples, read_sample
from ..export import fold_and_round, write_onnx
from ..network import ENCODERS, HairNet
from ..trainer import read_average
from ..whole_image import CACHE_LONG_SIDE, ClassProbabilities, Recipe, choice_figures, plan, run

SIDE = 448
STARTS = {
    ("imagenet", False): "ImageNet, fine-tuned",
    ("imagenet", True): "ImageNet, frozen",
    ("random", False): "random",
}
SETS = {"figaro1k": 0.5, "celebamask": 0.2, "ccp": 0.2, "nohair": 0.1}
BASE = Recipe("fine-tuned", SETS, plan((192, 8, 300)))
CONTENDERS = (
    BASE,
    replace(BASE, name="frozen", frozen=True),
    replace(BASE, name="random", start="random"),
    replace(BASE, name="separable-decoder", decoder="separable"),
    replace(BASE, name="fpn-decoder", decoder="fpn"),
    replace(BASE, name="lite0-encoder", encoder="lite0"),
    replace(BASE, name="mobilenetv2-encoder", encoder="mobilenetv2"),
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


def compare(contenders: tuple[Recipe, ...], data: Path, out: Path, mobilenetv2: Path | None = None) -> str:
    """Train all of them; the table in Markdown."""
    photos = [read_sample(sample, CACHE_LONG_SIDE) for sample in find_samples(data, "figaro1k", "choice")]
    lines = ["| encoder | decoder | start | IoU | parameters | MB (float16) | depth | ms |", "|---" * 8 + "|"]
    for recipe in contenders:
        imagenet = mobilenetv2 if recipe.encoder == "mobilenetv2" else None
        checkpoint = run(recipe, data, out / recipe.name, imagenet=imagenet)
        network = read_average(HairNet(recipe.encoder, recipe.decoder, classes=len(CLASSES)), checkpoint)
        iou = choice_figures(network, {"figaro1k": photos}, SIDE)["figaro1k"]["iou"]
        parameters, layers = sum(p.numel() for p in network.parameters()), depth(network)
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "network.onnx"
            write_onnx(ClassProbabilities(fold_and_round(network)), path)
            lines.append(
                f"| {ENCODERS[recipe.encoder].title} | {recipe.decoder} | {STARTS[recipe.start, recipe.frozen]} "
                f"| {iou:.3f} | {parameters / 1e6:.2f} M | {path.stat().st_size / 1e6:.1f} | {layers} "
                f"| {milliseconds(path):.0f} |"
            )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mobilenetv2", type=Path, required=True, help="MobileNetV2's ImageNet weights (.npz)")
    args = parser.parse_args()
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    print(compare(CONTENDERS, args.data, args.out, args.mobilenetv2))


if __name__ == "__main__":
    main()
