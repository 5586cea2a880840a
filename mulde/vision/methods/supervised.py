"""Plain training on labels: what makes a teacher, and what every distillation is compared with.

labels ──cross entropy──▶ network
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method
from mulde.vision.data.images import Split
from mulde.vision.models.initial import classifier
from mulde.vision.training.evaluation import network_accuracy
from mulde.vision.training.feeds import ImageBatch, ImageFeed
from mulde.vision.training.session import Session, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """One network and how long it is trained."""

    network: str = "resnet20"
    """The network, see `mulde.vision.models.names`."""
    channels: int = 16
    """Channels of a residual network's first stage."""
    training: Training = field(default_factory=Training)
    """Length, batches and optimiser."""


class Supervised(Method):
    """One learner, `network`."""

    def __init__(self, net: nn.Module) -> None:
        """net: any module that answers with `Features`."""
        super().__init__()
        self.network = net

    def learners(self) -> dict[str, Any]:
        return {"network": self.network.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        return {"network/hard": functional.cross_entropy(self.network(batch.images).logits, batch.labels)}

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, k)."""
        return self.network(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The network."""
        return {"network": self.network}


def build(config: Config, split: Split) -> tuple[Supervised, ImageFeed]:
    """A fresh network and its batches."""
    net = classifier("network", config.network, split, config.channels)
    return Supervised(net), config.training.feed(split.train, split.seed)


def run(config: Config, split: Split, session: Session) -> dict[str, float]:
    """Train; test accuracy."""
    method, feed = build(config, split)
    session.fit(method, feed, config)
    return {"accuracy": network_accuracy(method.network, split.test)}
