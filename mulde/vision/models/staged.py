"""A network in stages that returns the output of every stage, pooled features and logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn


class Features(NamedTuple):
    """Outputs of a network for b images."""

    stages: tuple[Tensor, ...]
    """Output of every stage, each (b, d, h, w) with its own d, h, w; from shallow to deep."""
    pooled: Tensor
    """(b, d) the last stage, averaged over positions; the input of the classifier."""
    logits: Tensor
    """(b, k)"""
    heads: tuple[Tensor, ...] = ()
    """Logits (b, k) of each classifier, where the network has several and `logits` is their mean."""


class StagedNetwork(nn.Module):
    """stem ─▶ stage ─▶ ... ─▶ stage ─▶ last ─▶ average over positions ─▶ classifier.

    Any other module that returns `Features` can take its place in a method.
    """

    architecture: dict[str, Any] | None = None
    """The arguments that it was made from, where `network` made it."""

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        last: nn.Module,
        classifier: nn.Module,
        widths: Sequence[int],
    ) -> None:
        """last: layers between the deepest stage and pooling; widths: channels of every stage."""
        super().__init__()
        self.stem, self.stages, self.last = stem, nn.ModuleList(stages), last
        self.classifier = classifier
        self.widths = tuple(widths)

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w)."""
        found, features = [], self.stem(images)
        for stage in self.stages:
            features = stage(features)
            found.append(features)
        pooled = self.last(features).mean((2, 3))
        return Features(tuple(found), pooled, self.classifier(pooled))
