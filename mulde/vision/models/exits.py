"""A network with a classifier after every stage, and early exit by confidence at inference.

    image ─▶ stage 1 ─▶ stage 2 ─▶ ... ─▶ stage C ─▶ pooling ─▶ classifier        exit C
                │          └─▶ bottleneck ─▶ pooling ─▶ classifier                 exit 2
                └─▶ bottleneck ─▶ pooling ─▶ classifier                            exit 1

A bottleneck brings the map of a stage to the channels and size of the last one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models.architecture import made_by
from mulde.vision.models.blocks import convolution
from mulde.vision.models.staged import Features, StagedNetwork


class Exit(NamedTuple):
    """Outputs of one exit for b images."""

    features: Tensor
    """(b, d) pooled features, of the same d in every exit."""
    logits: Tensor
    """(b, k)"""


class ExitHeads(nn.Module):
    """Bottlenecks and classifiers for all stages but the last.

    Parameters
    ----------
    channels
        Channels of every stage, and of the pooled features.
    strides
        Ratios of the sizes of the maps of two successive stages.
    classes
        k.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], classes: int) -> None:
        super().__init__()
        self.architecture = made_by("ExitHeads", channels=list(channels), strides=list(strides), classes=classes)
        widths = [*channels[:-2], channels[-1]]  # the last layer of a bottleneck makes the pooled features
        self.bottlenecks = nn.ModuleList(bottleneck(widths[i:], strides[i:]) for i in range(len(strides)))
        self.classifiers = nn.ModuleList(nn.Linear(widths[-1], classes) for _ in strides)

    def __len__(self) -> int:
        return len(self.classifiers)

    def forward(self, stages: Sequence[Tensor]) -> list[Exit]:
        """Maps of all stages -> exits of all but the last."""
        return [self.exit(number, stages[number]) for number in range(len(self))]

    def exit(self, number: int, features: Tensor) -> Exit:
        """The exit after a stage, counted from 0."""
        pooled = self.bottlenecks[number](features).mean((2, 3))
        return Exit(pooled, self.classifiers[number](pooled))


class ExitNetwork(nn.Module):
    """A network with further exits. Called as a module it is the network without them."""

    def __init__(self, network: nn.Module, heads: ExitHeads) -> None:
        """network: returns `Features`."""
        super().__init__()
        self.architecture = made_by("ExitNetwork", network=network, heads=heads)
        self.network, self.heads = network, heads
        self.widths: tuple[int, ...] = tuple(getattr(network, "widths", ()))

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w). The network's own outputs, those of the deepest exit."""
        found: Features = self.network(images)
        return found

    def exits(self, images: Tensor) -> list[Exit]:
        """Outputs of every exit, from shallow to deep."""
        found: Features = self.network(images)
        return [*self.heads(found.stages), Exit(found.pooled, found.logits)]

    @torch.no_grad()
    def early(self, images: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
        """Logits of the first exit whose largest probability is at least `confidence`; later stages are not computed.

        Parameters
        ----------
        images
            (b, channels, h, w). Every stage is computed for those images that have not left before it.
        confidence
            Threshold; above 1 all images take the deepest exit.

        Returns
        -------
        logits (b, k), and the exit (b,) of every image, counted from 0.

        Raises
        ------
        UsageError
            If the network cannot be computed stage by stage.
        """
        network = self.network
        if not isinstance(network, StagedNetwork):
            raise UsageError(
                f"early exit computes the stages one by one, which {type(network).__name__} does not allow; use a "
                "network of ours, for example resnet20, or all exits together"
            )
        features, rows = network.stem(images), torch.arange(len(images), device=images.device)
        taken = torch.full((len(images),), len(self.heads), device=images.device)
        logits: list[Tensor] = []
        order: list[Tensor] = []
        for number in range(len(self.heads)):
            features = network.stages[number](features)
            own = self.heads.exit(number, features).logits
            sure = own.softmax(1).amax(1) >= confidence
            taken[rows[sure]] = number
            logits.append(own[sure])
            order.append(rows[sure])
            features, rows = features[~sure], rows[~sure]
            if not len(rows):
                break
        else:
            pooled = network.last(network.stages[-1](features)).mean((2, 3))
            logits.append(network.classifier(pooled))
            order.append(rows)
        return torch.cat(logits)[torch.cat(order).argsort()], taken


def bottleneck(channels: Sequence[int], strides: Sequence[int]) -> nn.Sequential:
    """Convolutions with these channels and strides, each normalised: 3x3 where the map shrinks, otherwise 1x1."""
    layers: list[nn.Module] = []
    for (before, width), stride in zip(itertools.pairwise(channels), strides, strict=True):
        layers += [convolution(before, width, stride, 3 if stride > 1 else 1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def exit_heads(network: nn.Module, images: Tensor, classes: int) -> ExitHeads:
    """New heads for the maps that a network has for these images.

    Parameters
    ----------
    network
        Returns `Features`; unchanged, the dry run is in eval mode.
    images
        (b, channels, h, w), a few.
    classes
        k.

    Raises
    ------
    UsageError
        If the network returns fewer than two stages.
    """
    training = network.training
    with torch.no_grad():
        found: Features = network.eval()(images)
    network.train(training)
    if len(found.stages) < 2:
        raise UsageError(
            f"exits follow the stages before the last; the network returns {len(found.stages)} stages; choose one with "
            "two or more, or name layers with mulde.vision.models.Adapted(module, stages=(NAME, ...))"
        )
    sizes = [features.shape[2] for features in found.stages]
    channels = [*(features.shape[1] for features in found.stages), found.pooled.shape[1]]
    strides = [max(1, round(before / size)) for before, size in itertools.pairwise(sizes)]
    return ExitHeads(channels, strides, classes)
