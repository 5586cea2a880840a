"""TST: distillation on images that are changed so that the teacher is right and the student is wrong.

    phases:   strengths m, probabilities p ◀── teacher right, student wrong on A(x; m, p); both networks fixed
    updates:  labels ──▶ student ◀──soft loss── teacher (frozen), on A(x) and on x

    L_A = -log p_t(y | A(x)) - log(1 - p_s(y | A(x)) + 1e-8)
    L = mean over A(x) and x of CE(z, y) + T² KL(softmax z_t/T ‖ softmax z/T)

Source: Shao, Chen, Huang, Gong, Wang, Wu, "Teaching What You Should Teach: A Data-Based Distillation Method", IJCAI
2023, arXiv 2212.05422, and the authors' code, whose values these are. Its changes of colours are networks that imitate
the usual ones; here they are the usual ones in a differentiable form, and posterize, solarize, equalise, invert and
cutout are left out. The learning rate of a phase is constant here. For classification only: the paper also has
detection and segmentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, Positive, Size, Whole
from mulde.engine import Clock, EpochEnd, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Trained
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.learned_augmentation import LearnedAugmentation
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.cached import Outputs
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """The values of the authors' code for CIFAR-100."""

    student: str = "resnet20"
    """The student."""
    teacher: str = "resnet56"
    """The teacher, which is first trained on the labels unless it is trained already."""
    channels: Size = 16
    """Channels of a residual network's first stage, in both."""
    temperature: Positive = 4.0
    """T."""
    phases: tuple[Whole, ...] = (30, 90)
    """Epochs after which the augmentation is trained; none: it stays as it begins."""
    phase_epochs: Count = 30
    """Passes over the training images in a phase."""
    phase_lr: Positive = 0.01
    """Learning rate of a phase (SGD with momentum 0.9, which begins anew)."""
    drawn: Count = 4
    """Changes that are drawn for a batch."""
    augmented: bool = True
    """Distil on changed images too; without: distillation on the images alone, the baseline."""
    shuffled: bool = False
    """Control: the teacher receives other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            240, 64, optimizer=OptimizerSteps("sgd", 0.1, 1e-4, momentum=0.9, milestones=(150, 180, 210))
        )
    )
    """Epochs, batches and optimiser, of both."""


RECOMMENDED = {**ONE_COMPUTER, "phases": (8, 24), "phase_epochs": 5}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "compression"
NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("logits")})


class TST(ClassifierMethod):
    """One learner, `student`; the augmentation learns in phases between epochs."""

    def __init__(self, student: nn.Module, teacher: nn.Module, config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        self.outputs = Outputs(config.training.watermark.on(self.teacher, "logits"))
        self.augmentation = LearnedAugmentation(images.scale, config.drawn).requires_grad_(False)

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        images, labels, rows = batch.images, batch.labels, batch.index
        if self.config.augmented:
            images = torch.cat([self.augmentation(images), images])
            labels, rows = labels.repeat(2), rows.repeat(2)
        own = self.student(images).logits
        turn = int(self.config.shuffled)
        target = self.outputs(images.roll(turn, 0), rows.roll(turn, 0)).logits
        return {
            "student/hard": functional.cross_entropy(own, labels),
            "student/soft": kd(target, own, self.config.temperature),
        }

    def after_epoch(self, end: EpochEnd) -> None:
        """Train the augmentation, where a phase begins."""
        if not self.config.augmented or end.clock.epoch not in self.config.phases:
            return
        was_training, parameters = self.student.training, list(self.augmentation.parameters())
        self.student.eval()
        self.augmentation.requires_grad_(True)
        optimizer = torch.optim.SGD(parameters, self.config.phase_lr, momentum=0.9)
        with torch.enable_grad():
            for _ in range(self.config.phase_epochs):
                for batch in end.batches():
                    gradients = torch.autograd.grad(self.augmentation_loss(batch.images, batch.labels), parameters)
                    for parameter, gradient in zip(parameters, gradients, strict=True):
                        parameter.grad = gradient
                    optimizer.step()
        optimizer.zero_grad()
        self.augmentation.requires_grad_(False)
        self.student.train(was_training)

    def augmentation_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """L_A, small where the teacher is right and the student is wrong on the changed images."""
        changed = self.augmentation(images)
        right = functional.cross_entropy(self.teacher(changed).logits, labels)
        own = self.student(changed).logits.softmax(1).gather(1, labels.unsqueeze(1))
        return right - (1 - own + 1e-8).log().mean()

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """Strength times probability of each change."""
        return self.augmentation.policy() if self.config.augmented else {}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already."""
    new = {
        "student": lambda: classifier("student", config.student, data, config.channels),
        "teacher": lambda: classifier("teacher", config.teacher, data, config.channels),
    }
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> TST:
    """The student with its teacher."""
    return TST(networks["student"], networks["teacher"], config, data.train)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where it is not given, then the student."""
    teacher = networks["teacher"]
    if not is_frozen(teacher):
        train_on_labels(teacher, data.train, config.training, session.shared(), data.seed, "teacher", fraction=0.5)
    record = session.fit(build(config, data, networks), config, data=data)
    return Trained(networks["student"], "classify", {"teacher": teacher}, record)


STUDY = Study(
    config=Config(
        student="mlp-64",
        teacher="cnn-16-32",
        phases=(3, 9),
        phase_epochs=3,
        training=Training(15, 32, "none", OptimizerSteps("adam", 2e-3)),
    ),
    variants={
        "baseline": {"augmented": False},
        "method": {},
        "weight 0": {"phases": ()},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    train=200,
    paper_data="cifar100:PATH",
    notes="200 training images of the digits of scikit-learn",
    meaning="baseline: distillation without changed images; weight 0: the augmentation is not trained",
)
