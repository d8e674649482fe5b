"""Families of patch classifiers compared on one budget.

python -m models.training.studies.patch_families --data DATA --out RUNS

Simonyan, Zisserman 2015 (VGG), He et al. 2016 (ResNet), Huang et al. 2017 (DenseNet-BC), Sandler et al. 2018
(MobileNetV2), Chollet 2017 (Xception), all on the plan of patch_network.py. Every family learns for the same number of
steps from the same samples at 640 pixels. Printed, on balanced windows of the photos that choices are made by: top-1
accuracy, average precision, parameters, size, depth, operations, and milliseconds of 1000 windows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from hairmask_core.evaluation.metrics import average_precision, score_histogram

from ..network import conv_norm_relu
from ..patch_classifiers import FINE, classify, cut_windows, read_photos, run, write_graphs
from ..patch_network import (
    AFTER,
    BEFORE,
    WIDTHS,
    WINDOW,
    Inverted,
    PatchNet,
    Plain,
    Unit,
    conv3,
    count_operations,
    stack,
)  # fmt: skip
from ..trainer import read_average

STEPS = 600


class Bottleneck(Unit):
    """ResNet: 1x1 to `outputs / 2`, 3x3, 1x1 back, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        middle = outputs // 2
        self.spatial = conv3(middle, middle, stride)
        self.layers = nn.Sequential(
            *conv_norm_relu(inputs, middle, 1),
            self.spatial,
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm_relu(inputs, outputs, 1)[:2])
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.layers(x) + self.shortcut(self.around(x)))


class Dense(Unit):
    """DenseNet-BC: normalisation, ReLU, 1x1, normalisation, ReLU, 3x3, joined to everything before."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.spatial = conv3(3 * growth, growth)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), *conv_norm_relu(inputs, 3 * growth, 1), self.spatial
        )

    def forward(self, x):
        return torch.cat([self.around(x), self.layers(x)], dim=1)


class Transition(Unit):
    """DenseNet-BC: normalisation, ReLU, 1x1, then the mean of 3x3 pixels (2x2 there; 3x3 keeps the center)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False))
        self.spatial = conv3(outputs, outputs, 2, groups=outputs)  # a mean that can be dilated
        nn.init.constant_(self.spatial.weight, 1 / 9).requires_grad_(False)

    def forward(self, x):
        return self.spatial(self.layers(x))


class Separable(Unit):
    """Xception: ReLU, depthwise 3x3, 1x1, normalisation, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.spatial = conv3(inputs, inputs, stride, groups=inputs)
        self.layers = nn.Sequential(
            nn.ReLU(), self.spatial, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_norm_relu(inputs, outputs, 1)[:2])

    def forward(self, x):
        return self.layers(x) + self.shortcut(self.around(x))


def stack_dense(first: int, growth: int) -> tuple[list[Unit], int]:
    units, channels = [Plain(3, first, 1)], first
    for _ in range(BEFORE - 1):
        units.append(Dense(channels, growth))
        channels += growth
    units.append(Transition(channels, channels // 2))
    channels //= 2
    for _ in range(AFTER):
        units.append(Dense(channels, growth))
        channels += growth
    return units, channels


# Title, and what makes the network. Sized so that all cost about the same at one pixel of a whole photo, where a weight
# is used once.
FAMILIES = {
    "vgg": ("VGG", lambda: PatchNet(stack(Plain, 48, 80), 80)),
    "resnet": ("ResNet", lambda: PatchNet(stack(Bottleneck, 72, 128), 128)),
    "densenet": ("DenseNet-BC", lambda: PatchNet(*stack_dense(48, 32))),
    "mobilenetv2": ("MobileNetV2", lambda: PatchNet(stack(Inverted, *WIDTHS), WIDTHS[1])),
    "xception": ("Xception", lambda: PatchNet(stack(Separable, 112, 240), 240)),
}


def depth(network: PatchNet) -> int:
    """Convolutions on the longest way from input to output; shortcuts lie beside it."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    return sum("shortcut" not in name for name in names)


def milliseconds(path: Path, batch: int = 64, runs: int = 9) -> float:
    """Of 1000 windows, median of several runs on the CPU."""
    session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    x, times = np.zeros((batch, 3, WINDOW, WINDOW), np.float32), []
    for _ in range(runs):
        began = time.perf_counter()
        session.run(None, {"rgb": x})
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times) / batch


def compare(data: Path, out: Path) -> str:
    """Train every family on the same budget; the table in Markdown."""
    photos, choices = read_photos(data, FINE.sets)
    windows, labels = cut_windows(choices, FINE.long_side)
    lines = [
        f"{len(windows)} windows, {labels.sum()} of them hair",
        "",
        "| family | top-1 | AP | parameters | MB (float16) | depth | FLOPs a window | ms for 1000 windows |",
        "|---|---|---|---|---|---|---|---|",
    ]
    phase = replace(FINE.plan.phases[0], steps=STEPS)
    for name, (title, make) in FAMILIES.items():
        recipe = replace(FINE, name=f"patch-{name}", plan=replace(FINE.plan, phases=(phase,)))
        folder = out / recipe.name
        network = read_average(make(), run(recipe, photos, windows, labels, folder, make))
        p = classify(network, windows)
        precision = average_precision(score_histogram(p[None], labels[None]))
        parameters, operations = sum(w.numel() for w in network.parameters()), count_operations(network)
        path, _ = write_graphs(network, folder, recipe.name)
        lines.append(
            f"| {title} | {((p >= 0.5) == labels).mean():.4f} | {precision:.4f} "
            f"| {parameters / 1e6:.2f} M | {path.stat().st_size / 1e6:.2f} | {depth(network)} "
            f"| {2 * operations / 1e6:.0f} M | {milliseconds(path):.0f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets (see datasets.py)")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints go, one folder a network")
    args = parser.parse_args()
    cv2.setNumThreads(0)  # before its first use: OpenCV's thread pool does not survive the loader's fork
    print(compare(args.data, args.out))


if __name__ == "__main__":
    main()
