"""The matting network: which linear function of the photo's color the matte is at each pixel.

After Wu et al. 2018, "Fast End-to-End Trainable Guided Filter", and for the local linear model Levin et al. 2008.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from hairmask_core.matting.matting_network import MATTING_FEATURES, NOISE

CHANNELS = (24, 32, 48, 64)  # at 1/2, 1/4, 1/8 and 1/16 of the guide's scale
MEANS = (0.5, 0.5, 0.5, 0.5, 0.5, 0.2, 0, 0, 0, 0, 0, 0)  # of the features, about
STEEPEST = 4.0  # change of alpha by change of color, at most


class Block(nn.Module):
    """x + two 3x3 convolutions of it (He et al. 2016), the second starting at 0 so that no normalisation is needed."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x):
        return x + self.second(F.relu(self.first(F.relu(x))))


class MattingNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015).

    (N, MATTING_FEATURES, h, w), h and w multiples of 16 -> (N, 4, h, w): slopes for R, G, B and the constant of the
    matte as a linear function of the color. It starts from two guesses, p and the alpha by the colors nearby: it says
    how far to trust the second, and what to change.
    """

    def __init__(self, channels=CHANNELS):
        super().__init__()
        self.stem = nn.Conv2d(4 * MATTING_FEATURES, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(channels))
        self.before = nn.ModuleList(Block(c) for c in channels)
        self.middle = Block(channels[-1])
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(channels))
        self.after = nn.ModuleList(Block(c) for c in channels[:-1])
        self.head = nn.Conv2d(channels[0], 4 * 5, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        y = self.stem(F.pixel_unshuffle(2 * (x - x.new_tensor(MEANS).view(1, -1, 1, 1)), 2))
        kept = []
        for i, block in enumerate(self.before):
            y = block(y if i == 0 else self.down[i - 1](F.relu(y)))
            kept.append(y)
        y = self.middle(y)
        for i in reversed(range(len(self.after))):
            y = self.after[i](kept[i] + F.interpolate(self.up[i](y), scale_factor=2.0, mode="bilinear"))
        trust, change, *slopes = F.pixel_shuffle(self.head(F.relu(y)), 2).float().split((1, 1, 3), 1)
        rgb, p, by_color, length = x[:, :3], x[:, 3:4], x[:, 4:5], x[:, 5:6]
        line = (x[:, 9:] - x[:, 6:9]) / (length + NOISE)
        trust = torch.sigmoid(trust)
        guess = (p + trust * (by_color - p)).clamp(0.01, 0.99)
        alpha = torch.sigmoid(torch.log(guess / (1 - guess)) + 4 * change)
        slopes = trust * line + STEEPEST * torch.tanh(slopes[0])
        return torch.cat([slopes, alpha - (slopes * rgb).sum(1, keepdim=True)], 1)


def apply_linear(coefficients: torch.Tensor, rgb: torch.Tensor) -> torch.Tensor:
    """(N, 4, h, w) at the guide's scale and (N, 3, H, W) -> the matte (N, 1, H, W), not yet clipped."""
    c = F.interpolate(coefficients, size=rgb.shape[2:], mode="bilinear")
    return (c[:, :3] * rgb).sum(1, keepdim=True) + c[:, 3:]
