"""BNext's distillation: a binary student, one strong teacher, and assistants that become stronger.

    strong teacher ──────────────────────▶ soft loss ─┐
                                                      ├─ the larger loss gets the larger weight ─▶ binary student
    assistants, weak to strong, in turn ─▶ soft loss ─┘

    c_i = -Σ_k softmax(z_i)_k log softmax(z)_k,   w = softmax_i(c_i) without a gradient,   L = mean_b 1/N Σ_i w_i c_i

Source: Guo, Bethge, Meinel, Yang, "Join the High Accuracy Club on ImageNet with A Binary Neural Network Ticket", 2022,
arXiv 2211.12933, and the authors' code. In epoch e of E, assistant ⌊e n / E⌋ of n is active beside the strong teacher,
and N is the number of active teachers. Labels are not used in the student's loss. The temperature of the surrogate of
the sign is multiplied by 0.9 in every epoch. Ours: the surrogate, the gradient of tanh, and the blocks of the student,
see `mulde.vision.models.binary`; teachers are residual networks for small images, trained on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Positive, Size
from mulde.engine import Clock, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Trained
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.binary import BinaryConvolution
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' schedule for ImageNet, with networks for small images."""

    student: str = "bnext-64-128-256"
    """The student, a binary network bnext-WIDTH-WIDTH-...; any other network is trained likewise."""
    teacher: tuple[str, ...] = ("resnet20", "resnet32", "resnet56")
    """Assistants from weak to strong, then the strong teacher; repeat the option. They are first trained on the labels
    unless they are given."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    surrogate_decay: Positive = 0.9
    """Factor of the temperature of the sign's surrogate in every epoch."""
    gap_weights: bool = True
    """Weights by the distance from each teacher; otherwise equal ones."""
    distilled: bool = True
    """False: the baseline, the same student on the labels."""
    shuffled: bool = False
    """Control: the teachers receive other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(512, 512, "shift-flip", OptimizerSteps("adamw", 1e-3, schedule="cosine"))
    )
    """Epochs, batches and optimiser of the student."""
    teacher_training: Training = field(default_factory=Training)
    """Training of teachers that are not given."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on a teacher."""
        return self.distilled


RECOMMENDED = {
    **ONE_COMPUTER,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.0,
    **{f"teacher_{name}": value for name, value in ONE_COMPUTER.items()},
}
"""Options of the preset `recommended`: schedules for one computer."""

FIELD = "compression"
NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("logits", most=None)})


def active_teachers(count: int, clock: Clock) -> list[int]:
    """Places of the active teachers: the assistant of this epoch, and the last, which is the strong one."""
    assistants, epochs = count - 1, clock.epochs or 1
    now = [min(clock.epoch * assistants // epochs, assistants - 1)] if assistants else []
    return [*now, count - 1]


def gap_weights(losses: Tensor) -> Tensor:
    """softmax over the teachers of their losses (teachers, b), without a gradient: the farther, the larger."""
    return losses.detach().softmax(0)


def soft_cross_entropies(targets: Sequence[Tensor], own: Tensor) -> Tensor:
    """c (teachers, b) of each teacher's logits (b, k) and the student's."""
    log_own = own.log_softmax(1)
    return torch.stack([-(target.softmax(1) * log_own).sum(1) for target in targets])


class BNext(ClassifierMethod):
    """One learner, `student`, and frozen teachers."""

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.teachers, self.config = student, frozen(nn.ModuleList(teachers)), config
        self.outputs = [config.training.outputs_of(teacher, images, "logits") for teacher in self.teachers]
        self.binary = [part for part in student.modules() if isinstance(part, BinaryConvolution)]

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        for part in self.binary:
            part.temperature = max(self.config.surrogate_decay**clock.epoch, 1e-3)
        own: Tensor = self.student(batch.images).logits
        if not self.config.distilled:
            return {"student/hard": functional.cross_entropy(own, batch.labels)}
        images, rows = (values.roll(int(self.config.shuffled), 0) for values in (batch.images, batch.index))
        places = active_teachers(len(self.outputs), clock)
        each = soft_cross_entropies([self.outputs[place](images, rows).logits for place in places], own)
        weights = gap_weights(each) if self.config.gap_weights else torch.full_like(each, 1 / len(each))
        return {"student/soft": (weights * each).sum(0).mean() / len(each)}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and its teachers; given teachers are trained already."""

    def teachers() -> nn.ModuleList:
        made = (classifier(f"teacher-{i}", name, data, config.channels) for i, name in enumerate(config.teacher))
        return nn.ModuleList(made)

    new = {
        "student": lambda: classifier("student", config.student, data, config.channels),
        "teacher": teachers,
    }
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> BNext:
    """The student with its teachers."""
    return BNext(networks["student"], list(networks["teacher"]), config, data.train)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teachers, where they are used and not given, then the student."""
    teachers, student = networks["teacher"], networks["student"]
    if config.distilled and not is_frozen(teachers):
        for i, teacher in enumerate(teachers):
            training, name, fraction = config.teacher_training, f"teacher-{i + 1}", 1 / (len(teachers) - i + 1)
            train_on_labels(teacher, data.train, training, session.shared(), data.seed, name, fraction=fraction)
    record = session.fit(build(config, data, networks), config, data=data)
    kept = {f"teacher-{i}": teacher for i, teacher in enumerate(teachers, 1)} if config.distilled else {}
    return Trained(student, "classify", kept, record)


STUDY = Study(
    config=Config(
        student="bnext-16-32",
        teacher=("cnn-8-16", "cnn-32-64"),
        surrogate_decay=0.95,
        training=Training(20, 64, "none", OptimizerSteps("adamw", 3e-3, schedule="cosine")),
        teacher_training=Training(15, 64, "none", OptimizerSteps("adam", 2e-3)),
    ),
    variants={
        "baseline": {"distilled": False},
        "method": {},
        "weight 0": {"gap_weights": False},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    paper_data="folder:PATH,size=224",
    notes="a binary student of two stages, one assistant; the temperature of the surrogate falls by 0.95 in an epoch",
    meaning="baseline: the binary student on the labels; weight 0: equal weights of the teachers; control: teachers of "
    "other images",
)
