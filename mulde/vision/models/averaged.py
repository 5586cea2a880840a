"""Averaged: several classifiers as one, whose probabilities are the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mulde.vision.models.staged import Features


class Averaged(nn.Module):
    """The mean of the probabilities of several networks; it has no features.

    Parameters
    ----------
    networks
        Modules that return `Features` with logits of the same classes.
    """

    widths: tuple[int, ...] = ()

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w). The logits are logarithms of the mean probabilities."""
        found = torch.stack([network(images).logits.log_softmax(1) for network in self.networks])
        logits = found.logsumexp(0) - torch.tensor(float(len(self.networks)), device=images.device).log()
        return Features((), logits.new_empty(len(logits), 0), logits)


def averaged(networks: Sequence[nn.Module]) -> nn.Module:
    """A single network as it is, several as their average."""
    return networks[0] if len(networks) == 1 else Averaged(networks)
