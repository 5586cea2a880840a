"""DoGo: self-supervised mutual distillation of two encoders on image similarities.

    two views ─▶ encoder a, projection ─▶ rows of similarities P_a ◀──KL──▶ P_b ◀─ the same of encoder b

    L_a = L_ssl,a + λ_a KL(sg P_b ‖ P_a),   P[i, :] = softmax_k cos(first view of i, second view of k) / τ

Source: Bhat, Arani, Zonooz, "Distill on the Go", CVPR workshops 2021, arXiv 2104.09866, and the branch
`dogo` of the authors' code: KL as an element mean (1/b of the usual batch mean), weights 100 and 1, views that
are drawn for each encoder, and widths and colours that depend on the task (for SimSiam the code makes images grey
twice, with probability 0.2; here once). The encoders are kept without projections and predictors, and evaluated by a
linear probe.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from mulde.config import Count, NonNegative, Positive, Size
from mulde.engine import Clock, Method
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.contrastive import negative_cosine, nt_xent
from mulde.losses.features import similarity_matrix
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.augmentation import Views, views_of
from mulde.vision.data.images import Split
from mulde.vision.models import StagedNetwork, seeded
from mulde.vision.models.heads import projection_head
from mulde.vision.models.initial import network_for
from mulde.vision.training.evaluation import probe_accuracy
from mulde.vision.training.feeds import ImageBatch, ImageFeed
from mulde.vision.training.options import OptimizerSteps, Training


class Usual(NamedTuple):
    """The authors' values for a task."""

    hidden: Size
    dimension: Size
    colour_jitter: NonNegative


USUAL = {"simclr": Usual(512, 128, 1.0), "simsiam": Usual(2048, 2048, 0.5)}


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values."""

    student: str = "wrn-16-2"
    """The student, encoder a."""
    partner: str = "wrn-28-2"
    """The partner, encoder b."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    task: Literal["simclr", "simsiam"] = "simclr"
    """Loss of each encoder without the other."""
    temperature: Positive = 0.5
    """τ of NT-Xent."""
    similarity_temperature: Positive = 0.1
    """τ of the similarity rows."""
    weight_a: NonNegative = 100.0
    """λ_a, weight of the KL of encoder a; the KL is a mean over b² entries for a batch of b images."""
    weight_b: NonNegative = 1.0
    """λ_b, weight of the KL of encoder b."""
    shared_views: bool = False
    """Whether both encoders get the same views; then equal encoders have equal rows."""
    hidden: Size | None = None
    """Width of the hidden layers of projections; none: the default of --task."""
    dimension: Size | None = None
    """Dimension of the projections; none: the default of --task."""
    predictor_hidden: Size = 512
    """Width of the hidden layer of SimSiam's predictors."""
    colour_jitter: NonNegative | None = None
    """Strength of the change of colours in "strong" views; none: the default of --task."""
    views: Views = "strong"
    """SimCLR's augmentation by kornia, or a lighter one for images of 8 to 32 pixels."""
    mirror: bool = True
    """Whether the lighter augmentation mirrors images."""
    shuffled: bool = False
    """Control: the received rows belong to other images of the batch."""
    training: Training = field(default_factory=lambda: Training(1000, 256, "none", OptimizerSteps("adam", 3e-4, 1e-6)))
    """Length, batches (without a last, smaller one) and optimiser of each encoder; `views` sets the augmentation."""
    shots: Count | None = None
    """Labelled images per class for the linear probe; None: all training images."""


RECOMMENDED = {"student": "resnet20", "partner": "resnet32", "views": "small", "epochs": 200}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-supervision"
NEEDS = Needs(
    "images", {"student": Role("pooled"), "partner": Role("pooled")}, labels="none", controls=frozenset({"views"})
)


class Encoder(nn.Module):
    """A network without its classifier, a projection head, and for SimSiam a predictor."""

    def __init__(self, net: StagedNetwork, config: Config) -> None:
        super().__init__()
        usual, width = USUAL[config.task], net.widths[-1]
        hidden = usual.hidden if config.hidden is None else config.hidden
        dimension = usual.dimension if config.dimension is None else config.dimension
        simsiam = config.task == "simsiam"
        net.classifier = nn.Identity()
        self.network = net
        widths = [width, hidden, hidden, dimension] if simsiam else [width, hidden, dimension]
        self.projection = projection_head(widths, last_norm=simsiam)
        dimensions = [dimension, config.predictor_hidden, dimension]
        self.predictor = projection_head(dimensions) if simsiam else nn.Identity()

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Two views -> projections of both (b, d), predictions of both (b, d); SimCLR does not use the latter."""
        projected = [self.projection(self.network(view).pooled) for view in (first, second)]
        predicted = [self.predictor(projection) for projection in projected]
        return projected[0], projected[1], predicted[0], predicted[1]


class DoGo(Method):
    """Two learners, `peer_a` and `peer_b`; labels are not used."""

    def __init__(self, peer_a: Encoder, peer_b: Encoder, config: Config) -> None:
        super().__init__()
        self.peer_a, self.peer_b, self.config = peer_a, peer_b, config

    def learners(self) -> dict[str, Any]:
        return {"peer_a": self.peer_a.parameters(), "peer_b": self.peer_b.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, views = self.config, batch.views
        expected = 2 if config.shared_views else 4
        if views is None or len(views) < expected:
            raise UsageError(
                f"DoGo compares two views per image and encoder, here {expected} in all; the feed delivered "
                f"{0 if views is None else len(views)}; make it with ImageFeed(..., views={expected})"
            )
        outputs = {"peer_a": self.peer_a(views[0], views[1]), "peer_b": self.peer_b(views[-2], views[-1])}
        terms = {}
        weights = {"peer_a": config.weight_a, "peer_b": config.weight_b}
        for me, you in (("peer_a", "peer_b"), ("peer_b", "peer_a")):
            first, second, first_predicted, second_predicted = outputs[me]
            if config.task == "simclr":
                terms[f"{me}/contrast"] = nt_xent(first, second, config.temperature)
            else:
                one, other = negative_cosine(second_predicted, first.detach()), first_predicted
                terms[f"{me}/contrast"] = (one + negative_cosine(other, second.detach())) / 2
            if weights[me]:
                target = self._rows(*outputs[you][:2]).detach().roll(int(config.shuffled), 0)
                own = self._rows(first_predicted, second_predicted)
                terms[f"{me}/similarity"] = weights[me] * kd(target, own, 1.0, "elements", squared=False)
        return terms

    def _rows(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits (b, b) of the similarity rows: first views against second views, the same image included."""
        return similarity_matrix(first, second) / self.config.similarity_temperature

    def predict(self, batch: ImageBatch) -> Tensor:
        """Pooled features (b, d) of the student."""
        return self.peer_a.network(batch.images).pooled

    def exported(self) -> dict[str, nn.Module]:
        """Both encoders, without projections and predictors."""
        return {"student": self.peer_a.network, "partner": self.peer_b.network}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """Two encoders with projection heads, around new or given networks."""
    names = {"student": ("peer_a", config.student), "partner": ("peer_b", config.partner)}
    found = {}
    for role, (learner, name) in names.items():
        with seeded(data.seed, learner):
            net = copy.deepcopy(given[role]) if role in given else network_for(data, name, config.channels)
            found[role] = Encoder(net, config)
    return found


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """Both encoders, and batches of views without labels."""
    jitter = USUAL[config.task].colour_jitter if config.colour_jitter is None else config.colour_jitter
    feed = ImageFeed(
        data.train.unlabelled(),
        config.training.batch_size,
        seed=data.seed,
        augment=views_of(data, config.views, config.mirror, jitter),
        views=2 if config.shared_views else 4,
        drop_last=True,
    )
    return Setup(DoGo(networks["student"], networks["partner"], config), feed)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of a linear probe on each encoder, and their mean."""
    encoders = {"peer_a": trained.student, "peer_b": trained.networks["partner"]}
    found = {
        f"accuracy_of_{name}": probe_accuracy(encoder, data.train, data.test, config.shots)
        for name, encoder in encoders.items()
    }
    return {"accuracy": sum(found.values()) / len(found), **found}


STUDY = Study(
    config=Config(
        student="cnn-8-16-32",
        partner="cnn-16-32-64",
        views="small",
        hidden=64,
        dimension=32,
        predictor_hidden=64,
        training=Training(15, 256, "none", OptimizerSteps("adam", 1e-3, 1e-6)),
        shots=10,
    ),
    variants={
        "baseline": {"weight_a": 0.0, "weight_b": 0.0},
        "method": {},
        "control": {"shuffled": True},
    },
    metric="accuracy_of_peer_a",
    evaluate=metrics,
    data="shapes:8000,size=14",
    train=4000,
    test=3000,
    paper_data="cifar10:PATH",
    notes="generated shapes, 15 epochs; a linear probe on 10 labels per class evaluates the small encoder, peer a",
)
