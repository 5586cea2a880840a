"""FedNTD: clients keep what the server knew about the classes that are not the label.

    server, as received (frozen) ──logits of the other classes──▶ local ◀──labels── the client's images
    local ──weights──▶ server

    L = CE(q, y) + β T² KL(softmax_{c≠y} q_server/T ‖ softmax_{c≠y} q_local/T)

Source: Lee, Jeong, et al., "Preservation of the Global Knowledge by Not-True Distillation in Federated Learning",
NeurIPS 2022, arXiv 2106.03097. T = 1 and the learning rate 0.01 as in the configuration of the authors' code, whose
loss class says T = 3. The server's copy is always in eval mode; there it is in the mode it was left in. Without the
term it is FedAvg. The not-true loss is DKD's NCKD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method, frozen
from mulde.losses.soft_labels import not_true_kl
from mulde.metrics.classification import accuracy, per_class
from mulde.metrics.forgetting import forgetting, in_and_out_local
from mulde.vision.ablation.study import Verification
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import StagedNetwork
from mulde.vision.models.initial import classifier
from mulde.vision.training.evaluation import predicted_classes
from mulde.vision.training.federation import Rounds, spread
from mulde.vision.training.feeds import ImageBatch, ImageFeed
from mulde.vision.training.session import OptimizerSteps, Session, Training

if TYPE_CHECKING:
    from mulde.federated.rounds import Federation

LAST = 5
"""Accuracies are means over so many last rounds."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for CIFAR-10."""

    network: str = "fedavg-32-64-512"
    """The network, see `mulde.vision.models.names`."""
    channels: int = 16
    """Channels of a residual network's first stage."""
    beta: float = 1.0
    """β, weight of the not-true loss; 0 is FedAvg."""
    temperature: float = 1.0
    """T of the not-true loss."""
    anchor: Literal["received", "untrained", "wrong classes"] = "received"
    """What is kept: what the server knew; or as sabotage what an untrained network says, or what the server knew, each
    logit moved to the next class."""
    rounds: Rounds = field(default_factory=Rounds)
    """Clients and rounds."""
    training: Training = field(
        default_factory=lambda: Training(5, 50, "cutout", OptimizerSteps("sgd", 0.01, 1e-5, momentum=0.9))
    )
    """What a client does in a round: passes over its images, batches and optimiser."""


class FedNTD(Method):
    """One learner, `local`, beside the frozen `server` that it began with."""

    def __init__(self, local: StagedNetwork, server: StagedNetwork, config: Config) -> None:
        super().__init__()
        self.local, self.server, self.config = local, frozen(server), config

    def learners(self) -> dict[str, Any]:
        return {"local": self.local.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own = self.config, self.local(batch.images).logits
        terms = {"local/hard": functional.cross_entropy(own, batch.labels)}
        if config.beta:
            with torch.no_grad():
                theirs = self.server(batch.images).logits.roll(int(config.anchor == "wrong classes"), 1)
            terms["local/not_true"] = config.beta * not_true_kl(theirs, own, batch.labels, config.temperature)
        return terms

    def predict(self, batch: ImageBatch) -> Tensor:
        """The local network's logits (b, k)."""
        return self.local(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The local network, which after the last round is the server's."""
        return {"local": self.local}


def build(config: Config, split: Split) -> tuple[FedNTD, ImageFeed]:
    """The first round of a client that holds all training images."""
    return received(config, split, _fresh("local", config, split).state_dict(), split.train, split.seed)


def received(
    config: Config, split: Split, weights: Mapping[str, Tensor], images: ImageSet, seed: int
) -> tuple[FedNTD, ImageFeed]:
    """A round of a client: both networks are made of the weights that it received."""
    local, server = _fresh("local", config, split), _fresh("untrained", config, split)
    local.load_state_dict(weights)
    if config.anchor != "untrained":
        server.load_state_dict(weights)
    return FedNTD(local, server, config), config.training.feed(images, seed)


def federation(config: Config, split: Split, session: Session) -> Federation:
    """All rounds, as Flower runs them; after each the server's recall of every class of the test part."""
    server, classes = _fresh("local", config, split), split.classes

    def begin(weights: dict[str, Tensor], images: ImageSet, seed: int) -> tuple[FedNTD, nn.Module, ImageFeed]:
        method, feed = received(config, split, weights, images, seed)
        return method, method.local, feed

    def evaluate(weights: dict[str, Tensor], number: int) -> dict[str, float]:
        server.load_state_dict(weights)
        answers, labels = predicted_classes(server, split.test).numpy(), split.test.labels.numpy()
        recall = per_class(answers, labels, classes)
        return {"accuracy": accuracy(answers, labels), **{f"recall/{i}": value for i, value in enumerate(recall)}}

    def measure(local: nn.Module, images: ImageSet, number: int) -> dict[str, float]:
        if number <= config.rounds.rounds - LAST:  # `run` would not look at it
            return {}
        recall = per_class(predicted_classes(local, split.test).numpy(), split.test.labels.numpy(), classes)
        own, others = in_and_out_local(recall, images.counts().numpy())
        return {"in_local": own, "out_local": others}

    return spread(config, split, session, begin, server.state_dict(), evaluate=evaluate, measure=measure)


def run(config: Config, split: Split, session: Session) -> dict[str, float]:
    """All rounds; mean test accuracies of the server and of clients after training in the last rounds; forgetting,
    where there is more than one round.
    """
    from mulde.federated.rounds import federate

    history = federate(federation(config, split, session), session.folder).history
    found = {name: float(np.mean([entry[name] for entry in history[-LAST:]])) for name in FIGURES}
    recalls = [[entry[f"recall/{i}"] for i in range(split.classes)] for entry in history]
    if len(recalls) > 1:
        found |= {"forgetting": forgetting(recalls), "remembering": -forgetting(recalls)}
    return found


FIGURES = ("accuracy", "in_local", "out_local")


def _fresh(role: str, config: Config, split: Split) -> StagedNetwork:
    return classifier(role, config.network, split, config.channels)


VERIFICATION = Verification(
    config=Config(
        network="mlp-64",
        rounds=Rounds(20, 4, 12, "shards:2"),
        training=Training(5, 20, "none", OptimizerSteps("sgd", 0.05, 1e-5, momentum=0.9)),
    ),
    arms={
        "baseline": {"beta": 0.0},
        "method": {},
        "term at zero": {"beta": 0.0},
        "sabotage": {"anchor": "untrained"},
    },
    metric="accuracy",
    data="digits",
    paper_data="cifar10:PATH",
    notes="20 clients with two shards each, 4 of them in each of 12 rounds; the server's accuracy, mean of the last 5",
)
