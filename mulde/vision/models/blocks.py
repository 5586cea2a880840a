"""Blocks of the stages of a network. A block halves its map where stride is 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.vision.models.architecture import made_by

Block = Callable[[int, int, int], nn.Module]
"""(channels in, channels out, stride) -> module."""


def convolution(channels: int, width: int, stride: int = 1, size: int = 3, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the map at stride 1, without bias, in Kaiming's initialisation (fan out)."""
    layer = nn.Conv2d(channels, width, size, stride, size // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


class Plain(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = convolution(channels, width, stride), nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        return functional.relu(self.norm(self.conv(features)))


class Residual(nn.Module):
    """The basic block of He et al. 2016: two convolutions and a shortcut (1x1 where shapes differ)."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.first_norm = convolution(channels, width, stride), nn.BatchNorm2d(width)
        self.second, self.second_norm = convolution(width, width), nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(convolution(channels, width, stride, 1), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        inner = functional.relu(self.first_norm(self.first(features)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(features))


class PaddedShortcut(nn.Module):
    """Option A of He et al. 2016: every second position, and channels of zeros on both sides; without weights."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        before = (width - channels) // 2
        self.stride, self.padding = stride, (0, 0, 0, 0, before, width - channels - before)

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        return functional.pad(features[:, :, :: self.stride, :: self.stride], self.padding)


def padded(channels: int, width: int, stride: int) -> Residual:
    """A basic block whose shortcut has no weights."""
    block = Residual(channels, width, stride)
    if not isinstance(block.shortcut, nn.Identity):
        block.shortcut = PaddedShortcut(channels, width, stride)
    return block


class Bottleneck(nn.Module):
    """The block of deep residual networks (He et al. 2016): 1x1, 3x3 at a quarter of the width, 1x1."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 4
        self.first, self.first_norm = convolution(channels, inner, size=1), nn.BatchNorm2d(inner)
        self.second, self.second_norm = convolution(inner, inner, stride), nn.BatchNorm2d(inner)
        self.third, self.third_norm = convolution(inner, width, size=1), nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(convolution(channels, width, stride, 1), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        inner = functional.relu(self.first_norm(self.first(features)))
        inner = functional.relu(self.second_norm(self.second(inner)))
        return functional.relu(self.third_norm(self.third(inner)) + self.shortcut(features))


class Preactivated(nn.Module):
    """The block of wide residual networks (Zagoruyko and Komodakis 2016): normalisation first."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first_norm, self.first = nn.BatchNorm2d(channels), convolution(channels, width, stride)
        self.second_norm, self.second = nn.BatchNorm2d(width), convolution(width, width)
        self.shortcut = None if channels == width and stride == 1 else convolution(channels, width, stride, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        active = functional.relu(self.first_norm(features))
        inner = self.second(functional.relu(self.second_norm(self.first(active))))
        return inner + (features if self.shortcut is None else self.shortcut(active))


def stage(block: Block, depth: int, channels: int, width: int, stride: int) -> nn.Sequential:
    """`depth` blocks; the first changes width and size."""
    return nn.Sequential(block(channels, width, stride), *(block(width, width, 1) for _ in range(depth - 1)))


class CosineClassifier(nn.Module):
    """Scaled cosines between features and class vectors as logits (CBD's, scale 20 in its code)."""

    def __init__(self, dimension: int, classes: int, scale: float = 20.0) -> None:
        super().__init__()
        self.architecture = made_by("CosineClassifier", dimension=dimension, classes=classes, scale=scale)
        self.weight, self.scale = nn.Parameter(torch.randn(classes, dimension) / dimension**0.5), scale

    def forward(self, pooled: Tensor) -> Tensor:
        """(b, d) -> (b, k)."""
        return self.scale * functional.normalize(pooled, dim=1) @ functional.normalize(self.weight, dim=1).T
