"""FedNTD: federated learning with not-true distillation from the server.

    server, as received (frozen) ──logits of the other classes──▶ local ◀──labels── the client's images
    local ──weights──▶ server

    L = CE(q, y) + β T² KL(softmax_{c≠y} q_server/T ‖ softmax_{c≠y} q_local/T)

Source: Lee, Jeong, et al., "Preservation of the Global Knowledge by Not-True Distillation in Federated Learning",
NeurIPS 2022, arXiv 2106.03097. T = 1 and the learning rate 0.01 as in the configuration of the authors' code, whose
loss class has T = 3. The server's copy is always in eval mode; in the code it keeps its last mode. Without the term it
is FedAvg. The not-true loss is DKD's NCKD.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Positive, Size
from mulde.engine import Clock, Method, frozen
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.losses.soft_labels import not_true_kl
from mulde.metrics.classification import accuracy, per_class
from mulde.metrics.forgetting import forgetting, in_and_out_local
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import StagedNetwork
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.evaluation import predicted_classes
from mulde.vision.training.federation import Rounds, received, spread, train_in_rounds
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session

if TYPE_CHECKING:
    from mulde.federated.rounds import Federation

LAST = 5
"""Number of last rounds over which accuracies are means."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for CIFAR-10."""

    student: str = "fedavg-32-64-512"
    """The network, see `mulde.vision.models.networks`."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    beta: NonNegative = 1.0
    """β, weight of the not-true loss; 0 is FedAvg."""
    temperature: Positive = 1.0
    """T of the not-true loss."""
    anchor: Literal["received", "untrained", "uniform", "wrong classes"] = "received"
    """Network whose predictions are preserved: the received one; or as a control an untrained network, equal
    probabilities, or the received one with each logit moved to the next class."""
    rounds: Rounds = field(default_factory=Rounds)
    """Rounds; weights are averaged after each."""
    training: Training = field(
        default_factory=lambda: Training(5, 50, "cutout", OptimizerSteps("sgd", 0.01, 1e-5, momentum=0.9))
    )
    """Training of a client in a round: passes over its images, batches and optimiser."""


RECOMMENDED = {"student": "resnet20", "clients": 10, "per_round": 5, "rounds": 50, "partition": "dirichlet:0.5"}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "federated learning"
NEEDS = Needs("images", {"student": Role("logits")}, controls=frozenset({"partition"}))


class FedNTD(Method):
    """One learner, `local`, and the frozen `server` with the weights received."""

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
            if config.anchor == "uniform":
                theirs = torch.zeros_like(theirs)
            terms["local/not_true"] = config.beta * not_true_kl(theirs, own, batch.labels, config.temperature)
        return terms

    def predict(self, batch: ImageBatch) -> Tensor:
        """The local network's logits (b, k)."""
        return self.local(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The local network; after the last round it is the server's."""
        return {"student": self.local}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The initial network of server and clients."""
    return by_role(given, {"student": lambda: classifier("local", config.student, data, config.channels)})


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """The first round of a client that holds all training images."""
    return one_round(config, data, networks, networks["student"].state_dict(), data.train, data.seed)


def one_round(
    config: Config,
    data: Split,
    networks: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    images: ImageSet,
    seed: int,
) -> Setup:
    """A round of a client: local network and anchor are made from the weights received."""
    local, server = received(networks["student"], weights), received(networks["student"], weights)
    if config.anchor == "untrained":
        server = classifier("untrained", config.student, data, config.channels)
    return Setup(FedNTD(local, server, config), config.training.feed(images, seed))


def federation(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Federation:
    """All rounds; after each the server's recall of every class of the test part."""
    server, classes = copy.deepcopy(networks["student"]), data.classes

    def evaluate(weights: dict[str, Tensor], number: int) -> dict[str, float]:
        server.load_state_dict(weights)
        predicted, labels = predicted_classes(server, data.test).numpy(), data.test.labels.numpy()
        recall = per_class(predicted, labels, classes)
        return {"accuracy": accuracy(predicted, labels), **{f"recall/{i}": value for i, value in enumerate(recall)}}

    def measure(local: nn.Module, weights: Mapping[str, Tensor], images: ImageSet, number: int) -> dict[str, float]:
        if number <= config.rounds.rounds - LAST:  # not used by `run`
            return {}
        recall = per_class(predicted_classes(local, data.test).numpy(), data.test.labels.numpy(), classes)
        own, others = in_and_out_local(recall, images.counts().numpy())
        return {"in_local": own, "out_local": others, "moved": distance(local.state_dict(), weights)}

    return spread(config, data, session, networks, one_round, evaluate=evaluate, measure=measure)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """All rounds. Figures: mean test accuracies of the server and of clients in the last rounds, forgetting.

    Forgetting needs more than one round.
    """
    outcome = train_in_rounds(federation(config, data, session, networks), session)
    last = {name: [entry[name] for entry in outcome.history[-LAST:] if name in entry] for name in FIGURES}
    figures = {name: float(np.mean(values)) for name, values in last.items() if values}  # a budget may end the rounds
    recalls = [[entry[f"recall/{i}"] for i in range(data.classes)] for entry in outcome.history]
    if len(recalls) > 1:
        figures |= {"forgetting": forgetting(recalls), "remembering": -forgetting(recalls)}
    networks["student"].load_state_dict(outcome.weights)
    return Trained(networks["student"], "classify", record=outcome.record, figures=figures)


FIGURES = ("accuracy", "in_local", "out_local", "moved")


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Euclidean distance of two sets of weights."""
    return sum(float((first[key].cpu() - value.cpu()).square().sum()) for key, value in second.items()) ** 0.5


STUDY = Study(
    config=Config(
        student="mlp-64",
        rounds=Rounds(20, 4, 12, "shards:2"),
        training=Training(5, 20, "none", OptimizerSteps("sgd", 0.05, 1e-5, momentum=0.9)),
    ),
    variants={
        "baseline": {"beta": 0.0},
        "method": {},
        "control": {"anchor": "untrained"},
    },
    metric="accuracy",
    evaluate=lambda config, data, trained: trained.figures,
    data="digits",
    paper_data="cifar10:PATH",
    notes="20 clients with two shards each, 4 in each of 12 rounds; accuracy of the server, mean of the last 5 rounds",
)
