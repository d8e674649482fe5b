"""Patch classifiers: a 35x35 window in, the probability that its center pixel is hair out.

Five families, adapted to small windows: Simonyan, Zisserman 2015 (VGG), He et al. 2016 (ResNet), Huang et al. 2017
(DenseNet-BC), Sandler et al. 2018 (MobileNetV2), Chollet 2017 (Xception). All are built on one plan: units that hold
one 3x3 convolution each, none of them padded, so that a unit takes one pixel off every side and what runs past it is
cropped alike: 35 -> 27 in four units, 13 after one of stride 2, 1 after six more. Without padding a window gives the
same wherever it lies, so the network may be run over a whole photo at once. There a stride becomes a dilation of
everything behind it (Giusti et al. 2013; Sermanet et al. 2014, "OverFeat"; Long et al. 2015), see `dilate`.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from .network import conv_norm_relu

WINDOW = 35
STRIDE = 2  # of the whole network
BEFORE, AFTER = 4, 6  # units before and after the one of stride 2


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


def stack(unit, early: int, late: int) -> tuple[list[Unit], int]:
    """A plain first unit, then `unit`s of `early` channels, one of stride 2, and `unit`s of `late` channels."""
    units = [Plain(3, early, 1)] + [unit(early, early, 1) for _ in range(BEFORE - 1)]
    return [*units, unit(early, late, 2), *(unit(late, late, 1) for _ in range(AFTER))], late


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


# Sized so that all cost about the same at one pixel of a whole photo, where a weight is used once.
FAMILIES = {
    "vgg": ("VGG", lambda: stack(Plain, 48, 80)),
    "resnet": ("ResNet", lambda: stack(Bottleneck, 72, 128)),
    "densenet": ("DenseNet-BC", lambda: stack_dense(48, 32)),
    "mobilenetv2": ("MobileNetV2", lambda: stack(Inverted, 32, 72)),
    "xception": ("Xception", lambda: stack(Separable, 112, 240)),
}


class PatchNet(nn.Module):
    """RGB in -1…1, (N, 3, H, W), H and W at least 35 -> hair logits (N, 1, h, w), a window each.

    Windows start every STRIDE pixels, h = (H - 35) // STRIDE + 1; after `dilate` at every pixel.
    """

    def __init__(self, family: str):
        super().__init__()
        units, channels = FAMILIES[family][1]()
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


def count_operations(network: PatchNet, side: int = WINDOW) -> int:
    """Multiplications of the convolutions for one square of that side, pixels."""
    counts = []

    def count(conv: nn.Conv2d, _, output: torch.Tensor) -> None:
        counts.append(conv.weight.numel() * output.shape[2] * output.shape[3])

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [conv.register_forward_hook(count) for conv in convolutions]
    training = network.training
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def depth(network: PatchNet) -> int:
    """Convolutions on the longest way from input to output; shortcuts lie beside it."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    return sum("shortcut" not in name for name in names)
