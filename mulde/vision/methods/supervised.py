"""Supervised: training on labels, without distillation; for teachers and baselines.

labels ──cross entropy, or focal loss──▶ student
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mulde.additions import Part
from mulde.config import NonNegative, Size
from mulde.engine import Clock, Method
from mulde.engine.protocol import Needs, Role
from mulde.losses.hard_labels import focal
from mulde.vision.data.images import Split
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """A network and its training."""

    student: str = "resnet20"
    """The network, see `mulde.vision.models.networks`."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    focal_gamma: NonNegative = 0.0
    """γ of the focal loss, which multiplies the loss of an image by (1 - p)^γ, p the probability of its label; 0: cross
    entropy."""
    confident_share: Part = 0.0
    """ξ, share of a loss that is multiplied by (1 + p)^3 instead; --cycle method.confident_share=1:0:4 with
    --focal-gamma 2 is the cyclical focal loss."""
    training: Training = field(default_factory=Training)
    """Epochs, batches and optimiser."""


RECOMMENDED = ONE_COMPUTER
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "training on labels"
NEEDS = Needs("images", {"student": Role("logits")})


class Supervised(Method):
    """One learner, `network`."""

    def __init__(self, net: nn.Module, focal_gamma: float = 0.0, confident_share: float = 0.0) -> None:
        """net: any module that returns `Features`; the numbers are those of `focal`, 0 for cross entropy."""
        super().__init__()
        self.network, self.focal_gamma, self.confident_share = net, focal_gamma, confident_share

    def learners(self) -> dict[str, Any]:
        return {"network": self.network.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        logits = self.predict(batch)
        if self.focal_gamma or self.confident_share:
            return {"network/hard": focal(logits, batch.labels, self.focal_gamma, self.confident_share)}
        return {"network/hard": functional.cross_entropy(logits, batch.labels)}

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, k)."""
        return self.network(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The network."""
        return {"student": self.network}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The network."""
    return by_role(given, {"student": lambda: classifier("network", config.student, data, config.channels)})


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Supervised:
    """Training of the network with the default batches."""
    return Supervised(networks["student"], config.focal_gamma, config.confident_share)
