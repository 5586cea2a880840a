"""CBD: teachers that saw the classes as they are guide a student that sees all classes equally often.

    images as they come ──cross entropy──▶ teachers 1 … T, then frozen
    images drawn by class ─▶ student ─▶ ψ ◀──cosine── [φ_1/‖φ_1‖; …; φ_T/‖φ_T‖]; ψ ─▶ classifier ◀── labels

    L = (1 - α) CE(z, y) + α β (1 - cos(ψ, [φ_1/‖φ_1‖; …; φ_T/‖φ_T‖]))

Source: Iscen, Araujo, Gong, Schmid, "Class-Balanced Distillation for Long-Tailed Visual Recognition", BMVC
2021, arXiv 2104.05279, and the authors' code. φ are pooled features; ψ is the student's after a linear layer
and ReLU, which stay in it, or as it is where the dimensions agree. All classifiers are cosine classifiers of
scale 20. In the code all see parts of 0.05 to 1 of an image's area, mirrored or not, and half of the teachers
SimCLR's colours (strength 1, grey 0.2) as well. Its weight decay of 5e-4 on half the squared weights, halved again,
is 2.5e-4 in torch's meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method, frozen
from mulde.losses.features import cosine_distance
from mulde.metrics.classification import accuracy, many_medium_few
from mulde.vision.ablation.study import Verification
from mulde.vision.data.images import Split
from mulde.vision.models import StagedNetwork, seeded
from mulde.vision.models.blocks import CosineClassifier
from mulde.vision.models.initial import classifier
from mulde.vision.models.projected import Projected
from mulde.vision.training.evaluation import network_accuracy, predicted_classes
from mulde.vision.training.feeds import ImageBatch, ImageFeed, class_balanced, shuffled
from mulde.vision.training.session import Augment, OptimizerSteps, Session, Training, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for ImageNet-LT."""

    network: str = "imagenet-resnet50"
    """The student; the paper's is a ResNet-50, 101 or 152."""
    teacher: str = "imagenet-resnet50"
    """Every teacher; in the paper as the student."""
    channels: int = 16
    """Channels of the first stage of a residual network for small images, in all."""
    standard: int = 2
    """Teachers trained with the augmentation of `training`."""
    augmented: int = 2
    """Teachers trained with `augmented_by`."""
    augmented_by: Augment = "crop-flip-jitter"
    """Their augmentation, stronger than that of `training`."""
    alpha: float = 0.4
    """α, the share of the feature distillation; 0 is class-balanced training on labels."""
    beta: float = 100.0
    """β, which brings the cosine distance to the size of the cross entropy."""
    sampling: Literal["balanced", "instance"] = "balanced"
    """How the student's images are drawn: every class, or every image, equally often."""
    shuffled: bool = False
    """Sabotage: the teachers' features belong to other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            90, 128, "crop-flip", OptimizerSteps("sgd", 0.05, 2.5e-4, momentum=0.9, schedule="cosine")
        )
    )
    """Length, batches and optimiser, of teachers and student."""


def fused_features(teachers: Sequence[nn.Module], images: Tensor) -> Tensor:
    """Pooled features of all teachers, each of length 1, side by side: (b, T * d)."""
    return torch.cat([functional.normalize(teacher(images).pooled, dim=1) for teacher in teachers], 1)


class CBD(Method):
    """One learner, `student`, projection included, and frozen teachers."""

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], config: Config) -> None:
        super().__init__()
        self.student, self.teachers, self.config = student, frozen(nn.ModuleList(teachers)), config

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own = self.config, self.student(batch.images)
        terms = {"student/hard": (1 - config.alpha) * functional.cross_entropy(own.logits, batch.labels)}
        if config.alpha:
            with torch.no_grad():
                target = fused_features(list(self.teachers), batch.images).roll(int(config.shuffled), 0)
            terms["student/features"] = config.alpha * config.beta * cosine_distance(own.pooled, target)
        return terms

    def predict(self, batch: ImageBatch) -> Tensor:
        """The student's logits (b, k)."""
        return self.student(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The student with its projection."""
        return {"student": self.student}


def build(config: Config, split: Split, teachers: Sequence[StagedNetwork] = ()) -> tuple[CBD, ImageFeed]:
    """A fresh student, its teachers (untrained unless given), and batches in which classes are equally frequent."""
    teachers = teachers or untrained_teachers(config, split)
    dimension = sum(teacher.widths[-1] for teacher in teachers)
    net = classifier("student", config.network, split, config.channels, cosine=True)
    student: nn.Module = net
    if net.widths[-1] != dimension:
        with seeded(split.seed, "projection"):
            projection = nn.Sequential(nn.Linear(net.widths[-1], dimension), nn.ReLU())
            student = Projected(net, projection, CosineClassifier(dimension, split.classes))
    order = class_balanced if config.sampling == "balanced" else shuffled
    return CBD(student, teachers, config), config.training.feed(split.train, split.seed, order)


def untrained_teachers(config: Config, split: Split) -> list[StagedNetwork]:
    """Teachers with initial weights of their own."""
    if config.standard + config.augmented < 1:
        raise ValueError(
            f"CBD distils from at least one teacher; got standard={config.standard} and augmented={config.augmented}"
        )
    roles = (f"teacher_{i}" for i in range(config.standard + config.augmented))
    return [classifier(role, config.teacher, split, config.channels, cosine=True) for role in roles]


def run(config: Config, split: Split, session: Session) -> dict[str, float]:
    """Train every teacher on the images as they come, then the student; test accuracy, also by class frequency."""
    teachers = untrained_teachers(config, split)
    for i, teacher in enumerate(teachers if config.alpha else ()):
        stronger = replace(config.training, augment=config.augmented_by)
        training = config.training if i < config.standard else stronger
        train_on_labels(teacher, split.train, training, session.shared(), split.seed + 1000 * (i + 1), f"teacher_{i}")
    method, feed = build(config, split, teachers)
    session.fit(method, feed, config)
    answers, labels = predicted_classes(method.student, split.test).numpy(), split.test.labels.numpy()
    found = {"accuracy": accuracy(answers, labels)}
    found |= many_medium_few(answers, labels, split.train.counts().numpy())
    if config.alpha:
        found["teacher"] = sum(network_accuracy(teacher, split.test) for teacher in teachers) / len(teachers)
    return found


VERIFICATION = Verification(
    config=Config(
        network="cnn-8-16-32",
        teacher="cnn-8-16-32",
        standard=1,
        augmented=1,
        augmented_by="small",
        training=Training(60, 32, "shift", OptimizerSteps("sgd", 0.05, 2.5e-4, momentum=0.9, schedule="cosine")),
    ),
    arms={
        "baseline": {"alpha": 0.0, "sampling": "instance"},
        "method": {},
        "term at zero": {"alpha": 0.0},
        "sabotage": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    imbalance=50.0,
    paper_data="folder:PATH,size=224",
    notes="the digits of scikit-learn, 2 to about 120 training images per class, test images as they are; baseline: "
    "the same student on images as they come, term at zero: on class-balanced images; two teachers",
)
