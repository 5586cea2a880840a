"""FedX: federated learning without labels, with distillation from the server.

    two views, other images ─▶ encoder ─▶ projector z ─▶ predictor h (all local, all averaged by the server)
    h(first view)           ◀─ contrast ──▶ z_server(second view)          the server, as received, is frozen
    h(first), h(second)     ◀─ the same relations to ──▶ z_server(others)

    L = NT-Xent(z, z̃) + NT-Xent(h, z̃_server) + JS(r(z; u), r(z̃; u)) + JS(r(h; v), r(h̃; v))
    r(a; u) = softmax_k cos(a, u_k)/T,   u = z(others), v = z_server(others)

Source: Han, Park, et al., "FedX: Unsupervised Federated Learning with Cross Knowledge Distillation", ECCV 2022, arXiv
2207.09158, and the authors' code, which has the two sides of the KL in JS exchanged (`direction`), crops and mirrors
as its only augmentation, and one forward pass over all three inputs. Unlike it, the mean is weighted
by the clients that took part. Without the second to fourth terms it is federated SimCLR.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from mulde.config import Count, NonNegative, Positive, Size
from mulde.engine import Clock, Method, frozen
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.contrastive import nt_xent
from mulde.losses.features import similarity_matrix
from mulde.losses.soft_labels import jensen_shannon
from mulde.vision.ablation.study import Study
from mulde.vision.data.augmentation import Augmentation, compose, flip, shift, small_views
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import StagedNetwork, seeded
from mulde.vision.models.initial import network_for
from mulde.vision.training.evaluation import evaluate
from mulde.vision.training.federation import Rounds, received, spread, train_in_rounds
from mulde.vision.training.feeds import Beside, ImageBatch, ImageFeed
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session

if TYPE_CHECKING:
    from mulde.federated.rounds import Federation


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for CIFAR-10."""

    student: str = "cifar-resnet18"
    """The encoder, see `mulde.vision.models.networks`."""
    channels: Size = 16
    """Channels of the first stage of a residual network for small images."""
    dimension: Size = 256
    """Width of projector and predictor."""
    temperature: Positive = 0.1
    """T of contrasts and relations."""
    global_contrast_weight: NonNegative = 1.0
    """Weight of the contrast with the server's projections."""
    relation_weight: NonNegative = 1.0
    """Weight of the difference between both views in their relations to other images."""
    global_relation_weight: NonNegative = 1.0
    """The same, with relations to the server's projections of the other images."""
    direction: Literal["paper", "released"] = "paper"
    """JS as in the paper, or with the sides of its KL exchanged as in the released code."""
    views: Literal["shift", "small"] = "shift"
    """shift: move images, as in the released code. small: also change brightness and contrast, and erase parts."""
    mirror: bool = True
    """Whether views are mirrored."""
    untrained_server: bool = False
    """Control: an untrained network takes the place of the server."""
    rounds: Rounds = field(default_factory=lambda: Rounds(10, None, 100, "dirichlet:0.5", decay=1.0))
    """Rounds; weights are averaged after each."""
    training: Training = field(
        default_factory=lambda: Training(10, 64, "none", OptimizerSteps("sgd", 0.01, 1e-5, momentum=0.9))
    )
    """Training of a client in a round: passes, images and as many others in a batch, optimiser."""
    shots: Count | None = None
    """Labelled images per class for the linear probe; None: all training images."""


RECOMMENDED = {"student": "resnet20", "views": "small", "rounds": 30, "epochs": 5}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "federated learning"
NEEDS = Needs("images", {"student": Role("pooled")}, labels="none", controls=frozenset({"views", "partition"}))


class Encoder(nn.Module):
    """A network without its classifier, a projector and a predictor on top of it."""

    def __init__(self, net: StagedNetwork, dimension: int) -> None:
        super().__init__()
        net.classifier = nn.Identity()
        self.network = net
        self.projector, self.predictor = _two_layers(net.widths[-1], dimension), _two_layers(dimension, dimension)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(b, channels, h, w) -> projections z and predictions h, (b, d) each."""
        projected = self.projector(self.network(images).pooled)
        return projected, self.predictor(projected)


def _two_layers(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, width), nn.ReLU(), nn.Linear(width, width))


class FedX(Method):
    """One learner, `local`, and the frozen `server` with the weights received; labels are not used."""

    def __init__(self, local: Encoder, server: Encoder, config: Config) -> None:
        super().__init__()
        self.local, self.server, self.config = local, frozen(server), config

    def learners(self) -> dict[str, Any]:
        return {"local": self.local.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, inputs = self.config, self._inputs(batch)
        sizes, together = [len(part) for part in inputs], torch.cat(inputs)
        projected, predicted = self.local(together)
        z, z_second, z_others = projected.split(sizes)
        h, h_second, _ = predicted.split(sizes)
        with torch.no_grad():
            _, server_second, server_others = self.server(together)[0].split(sizes)
        terms = {"contrast": nt_xent(z, z_second, config.temperature)}
        if weight := config.global_contrast_weight:
            terms["global_contrast"] = weight * nt_xent(h, server_second, config.temperature)
        if weight := config.relation_weight:
            terms["relation"] = weight * self.disagreement(z, z_second, z_others)
        if weight := config.global_relation_weight:
            terms["global_relation"] = weight * self.disagreement(h, h_second, server_others)
        return {f"local/{name}": value for name, value in terms.items()}

    def disagreement(self, first: Tensor, second: Tensor, others: Tensor) -> Tensor:
        """JS between the relations of two views (b, d) to others (o, d)."""
        one, other = (similarity_matrix(view, others) / self.config.temperature for view in (first, second))
        return jensen_shannon(one, other, reversed_kl=self.config.direction == "released")

    def _inputs(self, batch: ImageBatch) -> list[Tensor]:
        """Two views and other images. Raises UsageError where the batch has none."""
        if batch.views is None or len(batch.views) != 2 or batch.others is None:
            views, others = (0 if x is None else len(x) for x in (batch.views, batch.others))
            raise UsageError(
                f"FedX compares two views of every image with the images of a second, independent batch; the feed "
                f"delivered {views} views and {others} other images; make it with Beside(ImageFeed(..., views=2), "
                "ImageFeed(...))"
            )
        return [batch.views[0], batch.views[1], batch.others]

    def predict(self, batch: ImageBatch) -> Tensor:
        """Pooled features (b, d) of the local encoder."""
        return self.local.network(batch.images).pooled

    def exported(self) -> dict[str, nn.Module]:
        """The encoder, without projector and predictor."""
        return {"student": self.local.network}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The initial encoder of server and clients, around a new or given network."""
    return {"student": _encoder("local", config, data, given.get("student"))}


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
    """A round of a client: local encoder and server are made from the weights received."""
    local, server = received(networks["student"], weights), received(networks["student"], weights)
    if config.untrained_server:
        server = _encoder("untrained", config, data)
    return Setup(FedX(local, server, config), _feed(config, images, seed))


def _feed(config: Config, images: ImageSet, seed: int) -> Beside:
    """Two views of every image of whole batches, and a view of as many others; without labels."""
    pad = max(1, images.images.shape[-1] // 8)
    moved = [shift(pad), flip] if config.mirror else [shift(pad)]
    augment: Augmentation = small_views(pad, config.mirror) if config.views == "small" else compose(*moved)
    unlabelled, size = images.unlabelled(), min(config.training.batch_size, len(images))
    main = ImageFeed(unlabelled, size, seed=seed, augment=augment, views=2, drop_last=True)
    return Beside(main, ImageFeed(unlabelled, size, seed=seed + 1, augment=augment, drop_last=True))


def federation(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Federation:
    """All rounds."""
    return spread(config, data, session, networks, one_round)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """All rounds; the student is the server's encoder, and its initial state is kept as `untrained`."""
    untrained = copy.deepcopy(networks["student"].network)
    outcome = train_in_rounds(federation(config, data, session, networks), session)
    networks["student"].load_state_dict(outcome.weights)
    return Trained(networks["student"].network, "embed", {"untrained": untrained}, outcome.record)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of a linear probe on the server's encoder, trained and untrained."""
    return evaluate(trained, data, shots=config.shots)


def _encoder(role: str, config: Config, data: Split, given: StagedNetwork | None = None) -> Encoder:
    with seeded(data.seed, role):
        net = network_for(data, config.student, config.channels) if given is None else copy.deepcopy(given)
        return Encoder(net, config.dimension)


BASELINE = {"global_contrast_weight": 0.0, "relation_weight": 0.0, "global_relation_weight": 0.0}
STUDY = Study(
    config=Config(
        student="cnn-8-16-16",
        dimension=32,
        views="small",
        mirror=False,
        rounds=Rounds(5, None, 8, "dirichlet:0.5", decay=1.0),
        training=Training(2, 32, "none", OptimizerSteps("sgd", 0.05, 1e-5, momentum=0.9)),
        shots=10,
    ),
    variants={
        "baseline": BASELINE,
        "method": {},
        "weight 0": {"global_contrast_weight": 0.0, "global_relation_weight": 0.0},
        "control": {"untrained_server": True},
    },
    metric="accuracy",
    evaluate=metrics,
    data="digits",
    paper_data="cifar10:PATH",
    notes="5 clients, all in each of 8 rounds; a linear probe on 10 labels per class evaluates the server's encoder",
)
