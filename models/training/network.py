"""The whole-image hair segmentation network: a MobileNetV2 encoder with a U-shaped decoder.

Encoder: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks".
Decoder: skip connections at every stride, after Ronneberger et al. 2015, "U-Net".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# (expansion, output channels, repeats, stride) of each inverted-residual stage, Table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
SKIP_STAGES = (0, 1, 2, 4, 6)  # last stages at strides 2, 4, 8, 16, 32
SKIP_CHANNELS = tuple(STAGES[i][1] for i in SKIP_STAGES)


class FoldedConv(nn.Module):
    """A convolution whose batch normalisation is folded into weight and bias.

    Padding is TensorFlow's "SAME": for stride 2 on even sizes one row and column at the
    bottom and the right only, which is what the pretrained weights were made with.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, relu: bool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2 if stride == 1 else 0, groups=groups)
        self.pad_after = kernel == 3 and stride == 2
        self.relu = relu

    def forward(self, x):
        if self.pad_after:
            x = F.pad(x, (0, 1, 0, 1))
        x = self.conv(x)
        return F.relu6(x) if self.relu else x


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int):
        super().__init__()
        hidden = inputs * expansion
        layers = []
        if expansion != 1:
            layers.append(FoldedConv(inputs, hidden, 1, 1, 1, relu=True))
        layers.append(FoldedConv(hidden, hidden, 3, stride, hidden, relu=True))
        layers.append(FoldedConv(hidden, outputs, 1, 1, 1, relu=False))
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.shortcut else y


class MobileNetV2Encoder(nn.Module):
    """RGB in -1…1, (N, 3, H, W), H and W multiples of 32 -> features at strides 2, 4, 8, 16, 32."""

    def __init__(self):
        super().__init__()
        self.stem = FoldedConv(3, 32, 3, 2, 1, relu=True)
        stages, inputs = [], 32
        for expansion, outputs, repeats, stride in STAGES:
            blocks = []
            for i in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, expansion, stride if i == 0 else 1))
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
        """Fill the encoder from the ImageNet archive: one weight and bias per convolution, in network order."""
        archive = np.load(path)
        keys = sorted({name.rsplit("_", 1)[0] for name in archive.files})
        convs = [m.conv for m in self.modules() if isinstance(m, FoldedConv)]
        for conv, key in zip(convs, keys):  # the archive ends with two more: head and classifier
            weight, bias = archive[f"{key}_weight"], archive[f"{key}_bias"]
            if conv.weight.shape != weight.shape:
                raise ValueError(
                    f"{path}: {key} has shape {weight.shape}, the encoder wants {tuple(conv.weight.shape)}"
                )
            conv.weight.data.copy_(torch.from_numpy(weight.astype(np.float32)))
            conv.bias.data.copy_(torch.from_numpy(bias.astype(np.float32)))


class DecoderBlock(nn.Module):
    """Enlarge by two, join the skip connection, two 3x3 convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int, convs: int = 2):
        super().__init__()
        layers = []
        for i in range(convs):
            layers += [
                nn.Conv2d(inputs + skip if i == 0 else outputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x, skip):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.layers(torch.cat([x, skip], dim=1))


class HairNet(nn.Module):
    """RGB in -1…1, (N, 3, H, W) -> hair logits (N, 1, H, W); H and W multiples of 32."""

    def __init__(self, widths: tuple[int, ...] = (128, 80, 48, 32)):
        super().__init__()
        self.encoder = MobileNetV2Encoder()
        skips = SKIP_CHANNELS[::-1]  # 320, 96, 32, 24, 16
        self.context = nn.Sequential(nn.Conv2d(2 * skips[0], 192, 1, bias=False), nn.BatchNorm2d(192), nn.ReLU())
        blocks, inputs = [], 192
        for skip, outputs in zip(skips[1:], widths):
            blocks.append(DecoderBlock(inputs, skip, outputs, convs=1 if skip == skips[-1] else 2))
            inputs = outputs
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(inputs, 1, 3, padding=1)

    def forward(self, x):
        *skips, x = self.encoder(x)
        # The photo's mean feature beside each local one: is there a person at all, and how large.
        mean = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
        x = self.context(torch.cat([x, mean], dim=1))
        for block, skip in zip(self.decoder, skips[::-1]):
            x = block(x, skip)
        return F.interpolate(self.head(x), scale_factor=2, mode="bilinear", align_corners=False)
