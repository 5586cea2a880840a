"""Modules of FFSD that are used in training only: fusion of maps, and shallow maps rebuilt from deep ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.vision.models.blocks import convolution


def separable(channels: int, width: int) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution, each with normalisation and ReLU."""
    return nn.Sequential(
        convolution(channels, channels, groups=channels),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        convolution(channels, width, size=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


class Fusion(nn.Module):
    """The deepest maps of several networks, concatenated -> one fused map and its logits."""

    def __init__(self, networks: int, width: int, classes: int) -> None:
        super().__init__()
        self.layers, self.classifier = separable(networks * width, width), nn.Linear(width, classes)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps, each (b, d, h, w) -> fused map (b, d, h, w) and logits (b, k)."""
        fused = self.layers(torch.cat(list(maps), 1))
        return fused, self.classifier(fused.mean((2, 3)))


class Upsampler(nn.Module):
    """Transposed convolutions from a network's deepest map back to the shapes of its other stages."""

    def __init__(self, widths: Sequence[int]) -> None:
        """widths: channels of all stages, shallow to deep."""
        super().__init__()
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 3, 2, 1, bias=False) for deep, shallow in pairs)
        self.norm = nn.ModuleList(nn.BatchNorm2d(shallow) for _, shallow in pairs)

    def forward(self, deepest: Tensor, sizes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Deepest map (b, d, h, w), sizes (h, w) of the others, shallow to deep -> maps in this order."""
        features, found = deepest, []
        for up, norm, size in zip(self.up, self.norm, reversed(sizes), strict=True):
            features = functional.relu(norm(up(features, output_size=list(size))))
            found.append(features)
        return found[::-1]

    @torch.no_grad()
    def targets(self, deepest: Tensor, sizes: Sequence[Sequence[int]]) -> list[Tensor]:
        """The same in eval mode and without gradients, as targets of a network's shallow stages."""
        mode = self.training
        self.eval()
        try:
            return list(self(deepest, sizes))
        finally:
            self.train(mode)
