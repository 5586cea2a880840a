"""JITNet's network: a small encoder and decoder for the classes of all pixels, at several widths.

    image ─▶ 3x3/2 ─▶ 3x3/2 ─▶ block/2 (1) ─▶ block/2 (2) ─▶ block/2 (3) ─▶ block, x2
          ─▶ block on [·, 2], x2 ─▶ block on [·, 1], x2, x2 ─▶ 3x3 ─▶ 3x3 ─▶ x2 ─▶ 1x1: logits

Source: Mullapudi et al. 2019, arXiv 1812.02699, and the authors' code for network and timing, whose width is 0.5.
Maps are enlarged bilinearly to the size of the encoder's, so images may have any size above 32 pixels. Our
reading: there is nothing between the 1x3 and the 3x1 convolution, and the last 3x3 has as many channels as there
are classes, at least 8 and at most 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.errors import UsageError
from mulde.vision.models.architecture import made_by
from mulde.vision.models.blocks import convolution
from mulde.vision.models.staged import Features

Statistics = Literal["frame", "running"]
"""frame: always normalise by the statistics of the frame. running: by running statistics outside training."""


class JITBlock(nn.Module):
    """BN, ReLU, then 3x3 (stride), BN, ReLU, 1x3, 3x1, plus a shortcut: 1x1 where channels differ."""

    def __init__(self, channels: int, width: int, stride: int, statistics: Statistics) -> None:
        super().__init__()
        self.stride = stride
        self.norm, self.inner_norm = _norm(channels, statistics), _norm(width, statistics)
        self.first = convolution(channels, width, stride)
        self.row = nn.Conv2d(width, width, (1, 3), padding=(0, 1), bias=False)
        self.column = nn.Conv2d(width, width, (3, 1), padding=(1, 0))
        self.shortcut = None if channels == width else convolution(channels, width, stride, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        active = functional.relu(self.norm(features))
        inner = self.column(self.row(functional.relu(self.inner_norm(self.first(active)))))
        if self.shortcut is None:
            return inner + features[:, :, :: self.stride, :: self.stride]
        return inner + self.shortcut(active)


class JITNetwork(nn.Module):
    """Returns `Features`: the encoder's stages, the deepest averaged over positions, logits (b, k, h, w)."""

    def __init__(self, classes: int, width: float = 0.5, statistics: Statistics = "frame") -> None:
        """width: factor of all channels but the last ones; the authors' is 0.5."""
        super().__init__()
        self.architecture = made_by("JITNetwork", classes=classes, width=width, statistics=statistics)
        one, two, *encoder, deep, middle, shallow, end = (
            max(1, round(width * channels)) for channels in (16, 64, 128, 128, 256, 256, 128, 64, 64)
        )
        last = min(32, max(8, classes))
        self.widths = tuple(encoder)
        self.stem = nn.Sequential(*_convolved(3, one, 2, statistics), *_convolved(one, two, 2, statistics))
        pairs = zip([two, *encoder], encoder, strict=False)
        self.encoder = nn.ModuleList(JITBlock(before, after, 2, statistics) for before, after in pairs)
        self.deep = JITBlock(encoder[2], deep, 1, statistics)
        self.middle = JITBlock(deep + encoder[1], middle, 1, statistics)
        self.shallow = JITBlock(middle + encoder[0], shallow, 1, statistics)
        self.end = nn.Sequential(*_convolved(shallow, end, 1, statistics), *_convolved(end, last, 1, statistics))
        self.classifier = nn.Conv2d(last, classes, 1)

    def forward(self, images: Tensor) -> Features:
        """images: (b, 3, h, w)."""
        height, width = images.shape[2:]
        if min(height, width) <= 32:
            raise UsageError(
                f"JITNet halves its maps five times; frames need more than 32 pixels, got {height}x{width}"
            )
        features, stages = self.stem(images), []
        for block in self.encoder:
            features = block(features)
            stages.append(features)
        first, second, third = stages
        features = torch.cat([_enlarged(self.deep(third), second.shape[2:]), second], 1)
        features = torch.cat([_enlarged(self.middle(features), first.shape[2:]), first], 1)
        half = ((height + 1) // 2, (width + 1) // 2)
        features = self.end(_enlarged(_doubled(self.shallow(features)), half))
        logits = self.classifier(_enlarged(features, (height, width)))
        return Features(tuple(stages), third.mean((2, 3)), logits)


def _norm(channels: int, statistics: Statistics) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=statistics == "running")


def _convolved(channels: int, width: int, stride: int, statistics: Statistics) -> list[nn.Module]:
    return [convolution(channels, width, stride), _norm(width, statistics), nn.ReLU()]


def _enlarged(features: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(features, (size[0], size[1]), mode="bilinear", align_corners=False)


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
