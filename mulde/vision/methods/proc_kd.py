"""ProCKD: a teacher of other classes passes on prototypes of its local features, which stay in the student.

    bank:     teacher (frozen) ──local features──▶ prototypes ◀── reconstruction, all prototypes in use
    updates:  labels ──▶ student: f ─▶ f + g · W(mean of the prototypes that f resembles) ─▶ classifier
              teacher (frozen) ──which prototypes its features resemble──▶ which prototypes f resembles

    A = softmax(cos(F, P) / τ),   L_bank = mean (F - A P)² + w_u (ln m - H(mean A))
    B = softmax(cos(f, P) / τ),   f' = f + σ(γ) · W(B P),   L = CE(z(f'), y) + λ KL(A ‖ B)

Source: Li, Wu, Han, Tian, "Prototype-guided Cross-task Knowledge Distillation", arXiv 2212.13180, of which we had the
abstract alone: prototypes of local features of the teacher, which augment the student's features for its own task. All
equations and values here are ours. F are features of the teacher's last stage, standardised channel by channel, f the
projected ones of the student's. A is computed on the smaller of both maps. The teacher's logits are not used, so that
its classes may be others than the student's; prototypes and projection are part of the student that is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Positive, Size
from mulde.engine import Clock, Method, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Trained
from mulde.errors import UsageError
from mulde.losses.prototypes import assignment_kl, entropy_of_mean, reconstruction
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.loading import load
from mulde.vision.models import seeded
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.models.prototypes import PrototypeBank, PrototypeNetwork, positions
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.feeds import ImageBatch, pass_over
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """Values of our own; the paper's were not at hand."""

    student: str = "resnet20"
    """The student."""
    teacher: str = "resnet56"
    """The teacher, whose classes may be others; it is first trained on labels unless it is trained already."""
    teacher_data: str = ""
    """Images of another task, as after --data, on whose labels a teacher that is not given is trained. Default: the
    images of the student."""
    channels: Size = 16
    """Channels of a residual network's first stage, in both."""
    prototypes: Size = 64
    """m, number of prototypes."""
    assignment_temperature: Positive = 0.1
    """τ of the assignments."""
    usage_weight: NonNegative = 0.1
    """w_u, weight of the term that keeps all prototypes in use."""
    align_weight: NonNegative = 1.0
    """λ, weight of the loss between the assignments of teacher and student."""
    distilled: bool = True
    """False: the baseline, the student as it is on the labels."""
    shuffled: bool = False
    """Control: the numbers in every prototype are in random order."""
    training: Training = field(
        default_factory=lambda: Training(
            100, 64, optimizer=OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, schedule="cosine")
        )
    )
    """Epochs, batches and optimiser of the student."""
    teacher_training: Training = field(default_factory=Training)
    """Training of a teacher that is not given."""
    prototype_training: Training = field(
        default_factory=lambda: Training(20, 64, "none", OptimizerSteps("adam", 1e-2, schedule="cosine"))
    )
    """Training of the prototypes."""

    @property
    def uses_teacher(self) -> bool:
        """Whether anything depends on the teacher."""
        return self.distilled

    @property
    def of_bank(self) -> Config:
        """Options of the stage that learns the prototypes, on which it depends."""
        return replace(self, training=self.prototype_training, align_weight=0.0, shuffled=False)


RECOMMENDED = {**ONE_COMPUTER, **{f"teacher_{name}": value for name, value in ONE_COMPUTER.items()}}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "compression"
NEEDS = Needs("images", {"student": Role("stages"), "teacher": Role("stages")})


class Prototypes(Method):
    """Learns the prototypes. One learner, `bank`, and a frozen teacher; labels are not used."""

    def __init__(self, bank: PrototypeBank, teacher: nn.Module, config: Config, images: ImageSet) -> None:
        super().__init__()
        self.bank, self.teacher, self.usage_weight = bank, frozen(teacher), config.usage_weight
        self.outputs = config.training.outputs_of(self.teacher, images, "stages")

    def learners(self) -> dict[str, Any]:
        return {"bank": self.bank.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        features = self.bank.standardised(positions(self.outputs(batch.images, batch.index).stages[-1]))
        logits = self.bank(features)
        unused = math.log(logits.shape[-1]) - entropy_of_mean(logits)
        return {
            "bank/reconstruction": (features - reconstruction(logits, self.bank.prototypes)).square().mean(),
            "bank/usage": self.usage_weight * unused,
        }

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, h * w, m) of the assignments."""
        logits: Tensor = self.bank(self.bank.standardised(positions(self.teacher(batch.images).stages[-1])))
        return logits


class ProCKD(ClassifierMethod):
    """One learner, `student`, with projection and gate; a frozen teacher and its frozen bank."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, bank: PrototypeBank, config: Config, images: ImageSet
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.bank, self.config = student, frozen(teacher), frozen(bank), config
        self.outputs = config.training.outputs_of(self.teacher, images, "stages")

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own = self.config, self.student(batch.images)
        terms = {"student/hard": functional.cross_entropy(own.logits, batch.labels)}
        if config.distilled and config.align_weight:
            target, local = of_one_size(self.outputs(batch.images, batch.index).stages[-1], own.stages[-1])
            assigned = self.bank(self.bank.standardised(positions(target)))
            terms["student/align"] = config.align_weight * assignment_kl(assigned, self.bank(positions(local)))
        return terms


def of_one_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (b, d, h, w), each averaged down to the rows and columns of the smaller one."""
    size = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return functional.adaptive_avg_pool2d(first, size), functional.adaptive_avg_pool2d(second, size)


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student without prototypes, a teacher, and a bank of prototypes; a given teacher is trained already."""
    theirs = replace(data, train=teacher_images(config, data))  # refused before the first step
    new = {
        "student": lambda: classifier("student", config.student, data, config.channels),
        "teacher": lambda: classifier("teacher", config.teacher, theirs, config.channels),
    }
    found = by_role(given, new, teachers=("teacher",))
    with seeded(data.seed, "bank"):
        bank = PrototypeBank(config.prototypes, found["teacher"].widths[-1], config.assignment_temperature)
    return {**found, "bank": bank}


def teacher_images(config: Config, data: Split) -> ImageSet:
    """Images of the teacher's task, in the size and with the standardisation of the student's.

    Raises
    ------
    UsageError
        If they have other channels.
    """
    if not config.teacher_data:
        return data.train
    images = load(config.teacher_data).resized(data.train.images.shape[-1])
    if images.channels != data.train.channels:
        raise UsageError(
            f"--teacher-data {config.teacher_data}: images of {images.channels} channels, and those of the student "
            f"have {data.train.channels}; grey=1 after a comma makes images grey"
        )
    return replace(images, scale=data.scale)


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> ProCKD:
    """The student with the prototypes of the bank."""
    student, bank = networks["student"], networks["bank"]
    if config.distilled:
        count, dimension = bank.prototypes.shape
        with seeded(data.seed, "prototypes"):
            student = PrototypeNetwork(student, count, dimension, data.classes, config.assignment_temperature)
            if config.shuffled:  # the order of whole prototypes would change nothing
                order = torch.rand(count, dimension).argsort(1).to(bank.prototypes.device)
                bank.prototypes.data = bank.prototypes.data.gather(1, order)
        student.prototypes.copy_(bank.prototypes.detach())
    return ProCKD(student, networks["teacher"], bank, config, data.train)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where it is not given, then the prototypes, then the student."""
    teacher, bank, figures = networks["teacher"], networks["bank"], dict[str, float]()
    if config.distilled:
        if not is_frozen(teacher):
            training, images = config.teacher_training, teacher_images(config, data)
            train_on_labels(teacher, images, training, session.shared(), data.seed, "teacher", fraction=0.5)
        with seeded(data.seed, "prototypes"):
            bank.begin(local_features(teacher, data.train))
        method = Prototypes(bank, teacher, config.of_bank, data.train)
        session.shared().fit(method, config.of_bank, data=data, name="prototypes", fraction=0.2)
        figures = bank_figures(bank, local_features(teacher, data.valid if len(data.valid) else data.train))
    main = build(config, data, networks)
    record = session.fit(main, config, data=data)
    return Trained(main.student, "classify", {"teacher": teacher} if config.distilled else {}, record, figures)


@torch.no_grad()
def local_features(network: nn.Module, images: ImageSet, count: int = 2000) -> Tensor:
    """(n, d) features of all positions of the last stage, of at most `count` random images."""
    network.eval()
    device = next(network.parameters()).device
    chosen = images[torch.randperm(len(images))[:count]]
    found = [positions(network(batch.images.to(device)).stages[-1]).flatten(0, 1) for batch in pass_over(chosen)]
    return torch.cat(found).cpu()


@torch.no_grad()
def bank_figures(bank: PrototypeBank, features: Tensor) -> dict[str, float]:
    """Part of the variance of local features (n, d) that is reconstructed, and the perplexity of the assignments.

    The perplexity is the number of prototypes that are in use, at most m.
    """
    values = bank.cpu().standardised(features)
    logits = bank(values)
    errors = (values - reconstruction(logits, bank.prototypes)).square().sum()
    return {
        "prototype_r2": 1 - float(errors / (values - values.mean(0)).square().sum()),
        "prototype_perplexity": float(entropy_of_mean(logits).exp()),
    }


STUDY = Study(
    config=Config(
        student="cnn-8-16",
        teacher="cnn-32-64",
        teacher_data="shapes:2000,size=8",
        prototypes=32,
        training=Training(100, 20, "none", OptimizerSteps("adam", 3e-3, schedule="cosine")),
        teacher_training=Training(15, 64, "none", OptimizerSteps("adam", 2e-3, schedule="cosine")),
        prototype_training=Training(60, 64, "none", OptimizerSteps("adam", 1e-2, schedule="cosine")),
    ),
    variants={
        "baseline": {"distilled": False},
        "method": {},
        "weight 0": {"align_weight": 0.0},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    train=100,
    paper_data="folder:PATH",
    notes="the teacher is trained on 2000 generated shapes of eight kinds, the student on 10 digits of each class",
    meaning="baseline: the student as it is on the labels; weight 0: prototypes in the student without the loss "
    "between assignments; control: the numbers in every prototype are in random order",
)
