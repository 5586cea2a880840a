"""KD: a frozen teacher's logits or features guide a student, with a choice of losses.

    labels ──hard loss──▶ student ◀──soft loss── teacher (frozen)

    L = w_h CE(z, y) + w_s L_soft(student, teacher)

Sources: Hinton et al. 2015 (kd); Zhao et al. 2022 (dkd); Huang et al. 2022 (dist); Sun et al. 2024
(standardised); Romero et al. 2015 (fitnet); Zagoruyko and Komodakis 2017 (at); Park et al. 2019 (rkd); Tung
and Mori 2019 (similarity). Weights and temperatures are those of widely used code for CIFAR-100; that of
`similarity` is ours. DKD's β is 2 in that code for the default pair, 8 where it says nothing about a pair, 6 for wide
residual networks and VGGs. FitNets' two stages are one here, as in that code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method, frozen, linear
from mulde.losses.correlation import dist, standardised
from mulde.losses.features import (
    attention_transfer,
    hint,
    relational_angle,
    relational_distance,
    similarity_preserving,
)
from mulde.losses.soft_labels import dkd, kd
from mulde.vision.ablation.study import Verification
from mulde.vision.data.images import Split
from mulde.vision.data.splitting import without_class
from mulde.vision.models import Features, StagedNetwork, seeded
from mulde.vision.models.attached import Adapter
from mulde.vision.models.initial import classifier
from mulde.vision.training.evaluation import missing_class_recall, network_accuracy
from mulde.vision.training.feeds import ImageBatch, ImageFeed
from mulde.vision.training.session import OptimizerSteps, Session, Training, train_on_labels

Soft = Literal["kd", "dkd", "dist", "standardised", "fitnet", "at", "rkd", "similarity"]


class Usual(NamedTuple):
    """What a loss is usually given."""

    hard_weight: float
    soft_weight: float
    temperature: float = 1.0
    warmup_epochs: int = 0


USUAL: dict[Soft, Usual] = {
    "kd": Usual(0.1, 0.9, 4.0),
    "dkd": Usual(1.0, 1.0, 4.0, warmup_epochs=20),
    "dist": Usual(1.0, 1.0, 4.0),
    "standardised": Usual(0.1, 9.0, 2.0),
    "fitnet": Usual(1.0, 100.0),
    "at": Usual(1.0, 1000.0),
    "rkd": Usual(1.0, 1.0),
    "similarity": Usual(1.0, 1000.0),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """A pair of networks and what passes between them."""

    network: str = "resnet20"
    """The student."""
    teacher: str = "resnet56"
    """The teacher, trained on the labels first."""
    channels: int = 16
    """Channels of a residual network's first stage, in both."""
    soft: Soft = "kd"
    """What the student learns from the teacher."""
    hard_weight: float | None = None
    """Weight of the cross entropy with the labels; None: what is usual with this soft loss (`USUAL`)."""
    soft_weight: float | None = None
    """Weight of the soft loss; None: what is usual."""
    temperature: float | None = None
    """T of the losses on logits; None: what is usual."""
    beta: float = 2.0
    """β of DKD, the weight of the classes that are not the label's; it depends on the pair."""
    hint_stage: int = 1
    """Which stage FitNets compares, counted from 0."""
    missing: int | None = None
    """A class whose images only the teacher sees: the missing-digit experiment of Hinton et al. 2015."""
    shuffled: bool = False
    """Sabotage: the teacher's answers belong to other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            240, 64, optimizer=OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, milestones=(150, 180, 210))
        )
    )
    """Length, batches and optimiser, of both."""

    @property
    def asks(self) -> bool:
        """Whether the teacher has a say."""
        return self.soft_weight != 0


class KD(Method):
    """One learner, `student` (with its adapter for FitNets), and a frozen teacher."""

    def __init__(self, student: StagedNetwork, teacher: StagedNetwork, config: Config) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        usual = USUAL[config.soft]
        self.hard_weight = usual.hard_weight if config.hard_weight is None else config.hard_weight
        self.soft_weight = usual.soft_weight if config.soft_weight is None else config.soft_weight
        self.temperature = usual.temperature if config.temperature is None else config.temperature
        self.schedule = linear(0.0, 1.0, epochs=usual.warmup_epochs, whole_epochs=True)
        at = config.hint_stage
        fitnet = config.soft == "fitnet" and self.soft_weight
        self.adapter = Adapter(student.widths[at], teacher.widths[at]) if fitnet else nn.Identity()

    def learners(self) -> dict[str, Any]:
        return {"student": [*self.student.parameters(), *self.adapter.parameters()]}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        own: Features = self.student(batch.images)
        terms = {}
        if self.hard_weight:
            terms["student/hard"] = self.hard_weight * functional.cross_entropy(own.logits, batch.labels)
        if self.soft_weight:
            with torch.no_grad():
                images = batch.images.roll(int(self.config.shuffled), 0)
                theirs: Features = self.teacher(images)
            loss = SOFT[self.config.soft](self, own, theirs, batch.labels)
            terms["student/soft"] = self.schedule(clock) * self.soft_weight * loss
        return terms

    def hint(self, own: Features, theirs: Features) -> Tensor:
        """The student's map, brought to the teacher's shape, against the teacher's."""
        target = theirs.stages[self.config.hint_stage]
        return hint(self.adapter(own.stages[self.config.hint_stage], target.shape[2:]), target)

    def predict(self, batch: ImageBatch) -> Tensor:
        """The student's logits (b, k)."""
        return self.student(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The student; the adapter stays behind."""
        return {"student": self.student}


SOFT: dict[Soft, Callable[[KD, Features, Features, Tensor], Tensor]] = {
    "kd": lambda me, own, theirs, y: kd(theirs.logits, own.logits, me.temperature),
    "dkd": lambda me, own, theirs, y: dkd(theirs.logits, own.logits, y, me.temperature, others_weight=me.config.beta),
    "dist": lambda me, own, theirs, y: dist(theirs.logits, own.logits, me.temperature),
    "standardised": lambda me, own, theirs, y: kd(
        standardised(theirs.logits), standardised(own.logits), me.temperature
    ),
    "fitnet": lambda me, own, theirs, y: me.hint(own, theirs),
    "at": lambda me, own, theirs, y: attention_transfer(own.stages, theirs.stages),
    "rkd": lambda me, own, theirs, y: (
        25 * relational_distance(own.pooled, theirs.pooled) + 50 * relational_angle(own.pooled, theirs.pooled)
    ),
    "similarity": lambda me, own, theirs, y: similarity_preserving(own.stages[-1], theirs.stages[-1]),
}

OF_BATCHES = ("dist", "rkd", "similarity")
"""Losses that compare the images of a batch with each other."""


def build(config: Config, split: Split, teacher: StagedNetwork | None = None) -> tuple[KD, ImageFeed]:
    """A fresh student, its teacher (untrained unless given), and batches of the transfer set."""
    transfer = split.train if config.missing is None else without_class(split.train, config.missing)
    student = _fresh("student", config.network, config, split)
    teacher = teacher or _fresh("teacher", config.teacher, config, split)
    with seeded(split.seed, "adapter"):
        method = KD(student, teacher, config)
    return method, config.training.feed(transfer, split.seed, whole=config.soft in OF_BATCHES)


def run(config: Config, split: Split, session: Session) -> dict[str, float]:
    """Train the teacher, where it has a say, then the student; test accuracy of both, recall of the missing class."""
    teacher, found = _fresh("teacher", config.teacher, config, split), {}
    if config.asks:
        train_on_labels(teacher, split.train, config.training, session.shared(), split.seed, "teacher")
        found = {"teacher": network_accuracy(teacher, split.test)}
    method, feed = build(config, split, teacher)
    session.fit(method, feed, config)
    found = {"accuracy": network_accuracy(method.student, split.test)} | found
    if config.missing is not None:
        found |= missing_class_recall(method.student, split, config.missing)
    return found


def _fresh(role: str, name: str, config: Config, split: Split) -> StagedNetwork:
    return classifier(role, name, split, config.channels)


VERIFICATION = Verification(
    config=Config(
        network="mlp-128-128",
        teacher="mlp-256-256",
        temperature=8.0,
        beta=8.0,
        missing=3,
        hard_weight=0.0,
        soft_weight=1.0,
        training=Training(20, 64, "none", OptimizerSteps("adam", 1e-3)),
    ),
    arms={
        "baseline": {"hard_weight": 1.0, "soft_weight": 0.0},
        "method": {},
        "term at zero": {"hard_weight": 0.1, "soft_weight": 0.0},
        "sabotage": {"shuffled": True},
    },
    metric="missing_recall",
    data="digits",
    paper_data="cifar100:PATH",
    paper_metric="accuracy",
    notes="no image of a 3 is in the student's training set; recall on the 3s of the test part, as it is",
)
