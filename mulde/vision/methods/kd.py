"""KD: distillation from a frozen teacher; losses on logits or features.

    labels ──hard loss──▶ student ◀──soft loss── teacher (frozen)

    L = w_h CE(z, y) + w_s L_soft(student, teacher)

Sources: Hinton et al. 2015 (kd); Zhao et al. 2022 (dkd); Huang et al. 2022 (dist); Sun et al. 2024
(standardised); Romero et al. 2015 (fitnet); Zagoruyko and Komodakis 2017 (at); Park et al. 2019 (rkd); Tung
and Mori 2019 (similarity). Weights and temperatures are those of widely used code for CIFAR-100; the weight
of `similarity` is ours. DKD's β is 2 in that code for the default pair, 8 where nothing is given for a pair, 6 for wide
residual networks and VGGs. FitNets' two stages are one here, as in that code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Positive, Size, Whole
from mulde.engine import Clock, frozen, is_frozen, linear
from mulde.engine.protocol import Needs, Output, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.correlation import dist, standardised
from mulde.losses.features import (
    attention_transfer,
    hint,
    relational_angle,
    relational_distance,
    similarity_preserving,
)
from mulde.losses.soft_labels import dkd, kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.splitting import without_class
from mulde.vision.models import Features, StagedNetwork, seeded
from mulde.vision.models.heads import Adapter
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import evaluate, missing_class_recall
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels

Soft = Literal["kd", "dkd", "dist", "standardised", "fitnet", "at", "rkd", "similarity"]


class Usual(NamedTuple):
    """Usual weights and temperature of a loss."""

    hard_weight: NonNegative
    soft_weight: NonNegative
    temperature: Positive = 1.0
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
    """Student, teacher and the distillation loss."""

    student: str = "resnet20"
    """The student."""
    teacher: tuple[str, ...] = ("resnet56",)
    """The teacher, which is first trained on the labels unless it is trained already; repeat the option for the mean of
    several, which have to be trained already."""
    channels: Size = 16
    """Channels of a residual network's first stage, in both."""
    soft: Soft = "kd"
    """Loss between student and teacher."""
    hard_weight: NonNegative | None = None
    """Weight of the cross entropy with the labels; none: the default of --soft."""
    soft_weight: NonNegative | None = None
    """Weight of the soft loss; none: the default of --soft."""
    temperature: Positive | None = None
    """T of the losses on logits; none: the default of --soft."""
    beta: NonNegative = 2.0
    """β of DKD, the weight of all classes but the label's; it depends on the pair."""
    hint_stage: Whole = 1
    """Stage that FitNets compares, counted from 0."""
    missing: Whole | None = None
    """A class without images in the student's training set: the missing-digit experiment of Hinton et al. 2015."""
    shuffled: bool = False
    """Control: the teacher receives other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            240, 64, optimizer=OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, milestones=(150, 180, 210))
        )
    )
    """Epochs, batches and optimiser, of both."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on the teacher."""
        return self.soft_weight != 0


FEATURES: dict[tuple[str, str], Output] = {
    ("soft", "fitnet"): "stages",
    ("soft", "at"): "stages",
    ("soft", "similarity"): "stages",
    ("soft", "rkd"): "pooled",
}
"""Soft losses on features, which read no logits of the teacher."""
RECOMMENDED = ONE_COMPUTER
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "compression"
NEEDS = Needs("images", {role: Role("logits", instead=FEATURES) for role in ("student", "teacher")})


class KD(ClassifierMethod):
    """One learner, `student` (with its adapter for FitNets), and a frozen teacher."""

    def __init__(self, student: StagedNetwork, teacher: StagedNetwork, config: Config, transfer: ImageSet) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        output = NEEDS.roles["teacher"].reads(config)
        self.outputs = config.training.outputs_of(self.teacher, transfer, output)
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
            images, rows = (values.roll(int(self.config.shuffled), 0) for values in (batch.images, batch.index))
            theirs = self.outputs(images, rows)
            loss = SOFT[self.config.soft](self, own, theirs, batch.labels)
            terms["student/soft"] = self.schedule(clock) * self.soft_weight * loss
        return terms

    def hint(self, own: Features, theirs: Features) -> Tensor:
        """Distance of the student's map, adapted to the teacher's shape, from the teacher's map."""
        target = theirs.stages[self.config.hint_stage]
        return hint(self.adapter(own.stages[self.config.hint_stage], target.shape[2:]), target)


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


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already."""
    transfer_set(config, data)  # refused before the first step
    new = {
        "student": lambda: classifier("student", config.student, data, config.channels),
        "teacher": lambda: classifier("teacher", one_of(config.teacher), data, config.channels),
    }
    return by_role(given, new, teachers=("teacher",))


def one_of(teachers: Sequence[str]) -> str:
    """The architecture of the only teacher. Raises UsageError where there are several or none."""
    if len(teachers) != 1:
        raise UsageError(
            f"KD trains one teacher itself; got {len(teachers)} names of networks; for the mean of several teachers, "
            "give networks that are trained already, for example the folders of earlier runs"
        )
    return teachers[0]


def transfer_set(config: Config, data: Split) -> ImageSet:
    """The student's training images. Raises UsageError where the class to leave out does not exist."""
    return data.train if config.missing is None else without_class(data.train, config.missing)


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """The student with its teacher, and batches of the transfer set."""
    for role in ("student", "teacher") if config.soft == "fitnet" else ():
        if config.hint_stage >= (stages := len(networks[role].widths)):
            raise UsageError(f"--hint-stage: the {role} has {stages} stages, counted from 0; got {config.hint_stage}")
    transfer = transfer_set(config, data)
    with seeded(data.seed, "adapter"):
        method = KD(networks["student"], networks["teacher"], config, transfer)
    return Setup(method, config.training.feed(transfer, data.seed, whole=config.soft in OF_BATCHES))


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where a term depends on it and it is not given, then the student."""
    teacher = networks["teacher"]
    if config.uses_teacher and not is_frozen(teacher):
        train_on_labels(teacher, data.train, config.training, session.shared(), data.seed, "teacher", fraction=0.5)
    record = session.fit(build(config, data, networks), config)
    kept = {"teacher": teacher} if config.uses_teacher else {}
    return Trained(networks["student"], "classify", kept, record)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of student and teacher, and the student's recall of the class that it was trained without."""
    found = evaluate(trained, data)
    if config.missing is not None:
        found |= missing_class_recall(trained.student, data, config.missing)
    return found


STUDY = Study(
    config=Config(
        student="mlp-128-128",
        teacher=("mlp-256-256",),
        temperature=8.0,
        beta=8.0,
        missing=3,
        hard_weight=0.0,
        soft_weight=1.0,
        training=Training(20, 64, "none", OptimizerSteps("adam", 1e-3)),
    ),
    variants={
        "baseline": {"hard_weight": 1.0, "soft_weight": 0.0},
        "method": {},
        "control": {"shuffled": True},
    },
    metric="missing_recall",
    evaluate=metrics,
    data="digits",
    paper_data="cifar100:PATH",
    paper_metric="accuracy",
    notes="the student's training set has no image of a 3; recall on the 3s of the test part",
)
