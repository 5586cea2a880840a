"""Prototypes of the local features of a network, and a network whose features are augmented by them.

stages ─▶ 1x1 convolution ─▶ f ──▶ f + g · W(mean of the prototypes that f resembles) ─▶ average ─▶ classifier
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mulde.losses.prototypes import assignment_logits, reconstruction
from mulde.vision.models.architecture import made_by
from mulde.vision.models.staged import Features


def positions(features: Tensor) -> Tensor:
    """(b, d, h, w) -> (b, h * w, d)."""
    return features.flatten(2).transpose(1, 2)


class PrototypeBank(nn.Module):
    """m prototypes of local features, which are standardised by mean and deviation of every channel.

    Parameters
    ----------
    count
        m.
    dimension
        d, channels of the features.
    temperature
        τ of the assignments.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, count: int, dimension: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.prototypes = nn.Parameter(torch.randn(count, dimension))
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))

    @torch.no_grad()
    def begin(self, features: Tensor) -> None:
        """Take mean and deviation from features (n, d), and random ones of them as prototypes."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_((features.var(0, correction=0) + 1e-5).sqrt())
        rows = torch.randperm(len(features))[torch.arange(len(self.prototypes)) % len(features)]
        self.prototypes.copy_(self.standardised(features[rows.to(features.device)]))

    def standardised(self, features: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        return (features - self.mean) / self.deviation

    def forward(self, features: Tensor) -> Tensor:
        """Logits (..., m) of the assignments of standardised features (..., d)."""
        return assignment_logits(features, self.prototypes, self.temperature)


class PrototypeNetwork(nn.Module):
    """A network whose local features are augmented by prototypes; projection and prototypes are exported with it.

    The last of its stages is the projected map f, before it is augmented.

    Parameters
    ----------
    network
        Returns `Features`; its own classifier is removed.
    count
        m, number of prototypes, which do not learn.
    dimension
        d, their length.
    classes
        k.
    temperature
        τ of the assignments.
    """

    prototypes: Tensor

    def __init__(self, network: nn.Module, count: int, dimension: int, classes: int, temperature: float) -> None:
        super().__init__()
        self.architecture = made_by(
            "PrototypeNetwork", network=network, count=count, dimension=dimension, classes=classes,
            temperature=temperature,
        )  # fmt: skip
        network.classifier = nn.Identity()
        widths: tuple[int, ...] = tuple(network.widths)  # type: ignore[arg-type]
        self.network, self.widths, self.temperature = network, (*widths, dimension), temperature
        self.projection = nn.Conv2d(widths[-1], dimension, 1)
        self.mixing = nn.Linear(dimension, dimension, bias=False)
        self.gate = nn.Parameter(torch.zeros(dimension))
        """(d,) logits of g, by which channels are augmented; 1/2 at the beginning."""
        self.register_buffer("prototypes", torch.zeros(count, dimension))
        self.classifier = nn.Linear(dimension, classes)

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w). `pooled` is the input of the classifier, (b, d)."""
        stages = self.network(images).stages
        projected = self.projection(stages[-1])
        local = positions(projected)
        mean = reconstruction(assignment_logits(local, self.prototypes, self.temperature), self.prototypes)
        pooled = (local + self.gate.sigmoid() * self.mixing(mean)).mean(1)
        return Features((*stages, projected), pooled, self.classifier(pooled))
