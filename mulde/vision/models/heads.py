"""Heads and adapters that are attached to a network in training and are not exported."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from mulde.errors import UsageError
from mulde.vision.models.blocks import Preactivated, convolution, stage
from mulde.vision.models.networks import plan
from mulde.vision.models.staged import StagedNetwork


class PooledClassifier(nn.Module):
    """A head on a feature map: layers, the average over positions, a linear classifier."""

    def __init__(self, layers: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.layers, self.classifier = layers, nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """(b, d, h, w) -> logits (b, k)."""
        return self.classifier(self.layers(features).mean((2, 3)))


def auxiliary_heads(name: str, classes: int, *, channels: int = 16) -> nn.ModuleList:
    """One classifier per stage but the last, each made like the rest of the trunk (DCM).

    Every head repeats the remaining stages, so that its map is as small as the network's last one. As in DCM's wide
    residual networks, a head has half the blocks in its last stage when it repeats several, and double width when it
    repeats one only.

    Raises
    ------
    UsageError
        For a network whose trunk is not made of such stages.
    """
    if not name.startswith(("cnn-", "resnet", "wrn-")):
        raise UsageError(
            f'auxiliary heads are known for networks such as cnn-8-16-32, resnet20 and wrn-16-2; got "{name}"; '
            "choose one like these, or train it without heads"
        )
    block, depth, _, widths = plan(name, channels)
    heads = []
    for tap in range(len(widths) - 1):
        before = widths[tap]
        layers: list[nn.Module] = []
        rest = list(widths[tap + 1 :])
        if len(rest) == 1:
            rest[0] *= 2
        for i, width in enumerate(rest):
            shortened = len(rest) > 1 and i == len(rest) - 1
            layers.append(stage(block, max(1, depth // 2) if shortened else depth, before, width, 2))
            before = width
        if block is Preactivated:
            layers += [nn.BatchNorm2d(before), nn.ReLU()]
        heads.append(PooledClassifier(nn.Sequential(*layers), before, classes))
    return nn.ModuleList(heads)


class Adapter(nn.Module):
    """A 1x1 convolution from a student's map to the shape of a teacher's map (FitNets' regressor).

    It ends with a ReLU, because the compared maps do; in the paper, too, both have the same nonlinearity.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(convolution(channels, width, size=1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, features: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """(b, channels, h, w) -> (b, width, h, w), resized to `size` (h, w) if given."""
        if size is not None and tuple(features.shape[2:]) != tuple(size):
            features = functional.adaptive_avg_pool2d(features, (size[0], size[1]))
        return self.layers(features)


def projection_head(widths: Sequence[int], *, last_norm: bool = False) -> nn.Sequential:
    """Linear layers of these widths with normalisation and ReLU between them (contrastive methods).

    Hidden layers have no bias, their normalisation has one; last_norm: normalise the output too.
    """
    layers: list[nn.Module] = []
    for i, (before, width) in enumerate(itertools.pairwise(widths)):
        final = i == len(widths) - 2
        layers.append(nn.Linear(before, width, bias=final and not last_norm))
        if not final:
            layers += [nn.BatchNorm1d(width), nn.ReLU()]
        elif last_norm:
            layers.append(nn.BatchNorm1d(width))
    return nn.Sequential(*layers)


class MultiHead(nn.Module):
    """A network with auxiliary heads, which returns one tensor of logits per head."""

    def __init__(self, network: StagedNetwork, heads: nn.ModuleList) -> None:
        super().__init__()
        self.network, self.heads = network, heads

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits (b, k) of every head from shallow to deep, the network's own last."""
        found = self.network(images)
        return [*(head(stage) for head, stage in zip(self.heads, found.stages, strict=False)), found.logits]
