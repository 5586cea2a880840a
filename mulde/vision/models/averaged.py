"""Several networks for the same classes as one, by the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mulde.vision.models.architecture import OWN, architecture_of, made_by, own
from mulde.vision.models.staged import Features


class Averaged(nn.Module):
    """Several networks for the same classes as one: the logarithm of the mean of their probabilities as logits.

    It has no features, which differ in shape and meaning from network to network.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.widths: tuple[int, ...] = ()
        members = [architecture_of(network) for network in networks]
        known = OWN not in {member["made_by"] for member in members}
        self.architecture = made_by("Averaged", networks=members) if known else own(self)

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w)."""
        each = torch.stack([network(images).logits.log_softmax(1) for network in self.networks])
        logits = each.logsumexp(0) - torch.tensor(float(len(each))).log()
        return Features((), logits.new_empty(len(logits), 0), logits)
