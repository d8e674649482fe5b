"""The patch classifier: a 35x35 window in, the probability that its center pixel is hair out.

After Sandler et al. 2018, "MobileNetV2", adapted to small windows: units that hold one 3x3 convolution each, none of
them padded, so that a unit takes one pixel off every side and what runs past it is cropped alike: 35 -> 27 in four
units, 13 after one of stride 2, 1 after six more. Without padding a window gives the same wherever it lies, so the
network may be run over a whole photo at once. There a stride becomes a dilation of everything behind it (Giusti et al.
2013; Sermanet et al. 2014, "OverFeat"; Long et al. 2015), see `dilate`. Other families on the same plan are compared in
studies/patch_families.py.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .network import conv_norm_relu

WINDOW = 35
STRIDE = 2  # of the whole network
BEFORE, AFTER = 4, 6  # units before and after the one of stride 2
WIDTHS = 32, 72  # channels before and after it


class Unit(nn.Module):
    """A stage with one unpadded 3x3 convolution; `spatial` is that convolution."""

    spatial: nn.Conv2d

    def around(self, x):
        """What a shortcut passes around the 3x3 convolution: the pixels that its outputs are centered on."""
        d, s = self.spatial.dilation[0], self.spatial.stride[0]
        return x[:, :, d : x.shape[2] - d : s, d : x.shape[3] - d : s]


def conv3(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, groups=groups, bias=False)


class Plain(Unit):
    """VGG: convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.spatial = conv3(inputs, outputs, stride)
        self.layers = nn.Sequential(self.spatial, nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x):
        return self.layers(x)


class Inverted(Unit):
    """MobileNetV2: 1x1 to six times the channels, depthwise 3x3, 1x1 without ReLU, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int = 6):
        super().__init__()
        hidden = inputs * expansion
        self.spatial = conv3(hidden, hidden, stride, groups=hidden)
        self.layers = nn.Sequential(
            *conv_norm_relu(inputs, hidden, 1),
            self.spatial,
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return y + self.around(x) if self.shortcut else y


def stack(unit: type[Unit], early: int, late: int) -> list[Unit]:
    """A plain first unit, then `unit`s of `early` channels, one of stride 2, and `unit`s of `late` channels."""
    units = [Plain(3, early, 1)] + [unit(early, early, 1) for _ in range(BEFORE - 1)]
    return [*units, unit(early, late, 2), *(unit(late, late, 1) for _ in range(AFTER))]


class PatchNet(nn.Module):
    """RGB in -1…1, (N, 3, H, W), H and W at least 35 -> hair logits (N, 1, h, w), a window each.

    units: of BEFORE + 1 + AFTER, the one after the first BEFORE with stride 2; MobileNetV2's otherwise. channels: of
    the last unit. Windows start every STRIDE pixels, h = (H - 35) // STRIDE + 1; after `dilate` at every pixel.
    """

    def __init__(self, units: list[Unit] | None = None, channels: int = WIDTHS[1]):
        super().__init__()
        units = units or stack(Inverted, *WIDTHS)
        self.units = nn.Sequential(*units)
        self.head = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 1, 1))

    def forward(self, x):
        return self.head(self.units(x))


def dilate(network: PatchNet) -> PatchNet:
    """A copy with the same weights that gives every pixel's window: strides taken out, what follows dilated."""
    network, dilation = copy.deepcopy(network), 1
    for unit in network.units:
        stride, unit.spatial.stride = unit.spatial.stride[0], (1, 1)
        unit.spatial.dilation = (dilation, dilation)
        dilation *= stride
    return network


def count_operations(network: nn.Module, side: int = WINDOW) -> int:
    """Multiplications of the convolutions for one square of that side, pixels."""
    network, counts = copy.deepcopy(network).to("meta").eval(), []  # shapes only, nothing is computed

    def count(conv: nn.Conv2d, _, output: torch.Tensor) -> None:
        counts.append(conv.weight.numel() * output.shape[2] * output.shape[3])

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, side, side, device="meta"))
    return sum(counts)
