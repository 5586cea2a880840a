"""CBD: class-balanced distillation for long-tailed data.

    images as they come ──cross entropy──▶ teachers 1 … T, then frozen
    images drawn by class ─▶ student ─▶ ψ ◀──cosine── [φ_1/‖φ_1‖; …; φ_T/‖φ_T‖]; ψ ─▶ classifier ◀── labels

    L = (1 - α) CE(z, y) + α β (1 - cos(ψ, [φ_1/‖φ_1‖; …; φ_T/‖φ_T‖]))

Source: Iscen, Araujo, Gong, Schmid, "Class-Balanced Distillation for Long-Tailed Visual Recognition", BMVC
2021, arXiv 2104.05279, and the authors' code. φ are pooled features; ψ is the student's after a linear layer
and ReLU, which stay in it, or as it is where the dimensions agree. All classifiers are cosine classifiers of
scale 20. In the code all networks see parts of 0.05 to 1 of an image's area, mirrored or not, and half of the teachers
SimCLR's colours (strength 1, grey 0.2) as well. Its weight decay of 5e-4 on half the squared weights, halved again,
is 2.5e-4 in torch's meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Size, Whole
from mulde.engine import Clock, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.features import cosine_distance
from mulde.metrics.classification import accuracy, many_medium_few
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import Features, seeded
from mulde.vision.models.blocks import CosineClassifier
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.models.projected import Projected
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import network_accuracy, predicted_classes
from mulde.vision.training.feeds import ImageBatch, class_balanced, shuffled
from mulde.vision.training.options import ONE_COMPUTER, Augment, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for ImageNet-LT."""

    student: str = "imagenet-resnet50"
    """The student; the paper's is a ResNet-50, 101 or 152."""
    teacher: tuple[str, ...] = ("imagenet-resnet50",) * 4
    """The teachers, in the paper of the student's architecture; repeat the option."""
    channels: Size = 16
    """Channels of the first stage of a residual network for small images, in all."""
    augmented: Whole = 2
    """Number of teachers, the last ones, that are trained with `augmented_by` in place of the augmentation of
    `training`."""
    augmented_by: Augment = "crop-flip-jitter"
    """Stronger augmentation of the teachers counted by `augmented`."""
    alpha: NonNegative = 0.4
    """α, weight of the feature distillation; 0 is class-balanced training on labels."""
    beta: NonNegative = 100.0
    """β, scale of the cosine distance relative to the cross entropy."""
    sampling: Literal["balanced", "instance"] = "balanced"
    """Sampling of the student's images: every class, or every image, equally often."""
    shuffled: bool = False
    """Control: the teachers' features belong to other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            90, 128, "crop-flip", OptimizerSteps("sgd", 0.05, 2.5e-4, momentum=0.9, schedule="cosine")
        )
    )
    """Epochs, batches and optimiser, of teachers and student."""


RECOMMENDED = {
    **ONE_COMPUTER,
    "student": "resnet20",
    "teacher": ("resnet20", "resnet20"),
    "augmented": 1,
    "augmented_by": "cutout",
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "long-tailed data"
NEEDS = Needs(
    "images", {"student": Role("pooled"), "teacher": Role("pooled", most=None)}, controls=frozenset({"order"})
)


def fused_features(found: Iterable[Features]) -> Tensor:
    """Pooled features of all teachers, each of length 1, side by side: (b, T * d)."""
    return torch.cat([functional.normalize(each.pooled, dim=1) for each in found], 1)


class CBD(ClassifierMethod):
    """One learner, `student`, projection included, and frozen teachers."""

    def __init__(self, student: nn.Module, teachers: Sequence[nn.Module], config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.teachers, self.config = student, frozen(nn.ModuleList(teachers)), config
        self.outputs = [config.training.outputs_of(teacher, images, "pooled") for teacher in self.teachers]

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own = self.config, self.student(batch.images)
        terms = {"student/hard": (1 - config.alpha) * functional.cross_entropy(own.logits, batch.labels)}
        if config.alpha:
            target = fused_features(outputs(batch.images, batch.index) for outputs in self.outputs)
            target = target.roll(int(config.shuffled), 0)
            terms["student/features"] = config.alpha * config.beta * cosine_distance(own.pooled, target)
        return terms


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and teachers with cosine classifiers; given teachers are trained already."""

    def new(role: str, name: str) -> nn.Module:
        return classifier(role, name, data, config.channels, cosine=True)

    def new_teachers() -> nn.ModuleList:
        return nn.ModuleList(new(f"teacher_{i}", name) for i, name in enumerate(config.teacher))

    if not config.teacher:
        raise UsageError("CBD distils from at least one teacher; got none")
    roles = {"student": lambda: new("student", config.student), "teacher": new_teachers}
    return by_role(given, roles, teachers=("teacher",))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """The student, its projection where the widths differ, its teachers, and class-balanced batches."""
    student, teachers = networks["student"], list(networks["teacher"])
    dimension = sum(teacher.widths[-1] for teacher in teachers)
    if student.widths[-1] != dimension:
        with seeded(data.seed, "projection"):
            projection = nn.Sequential(nn.Linear(student.widths[-1], dimension), nn.ReLU())
            student = Projected(student, projection, CosineClassifier(dimension, data.classes))
    order = class_balanced if config.sampling == "balanced" else shuffled
    return Setup(CBD(student, teachers, config, data.train), config.training.feed(data.train, data.seed, order))


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train every teacher that is not given on the images as they are, then the student."""
    teachers = networks["teacher"]
    if config.alpha and not is_frozen(teachers):
        for i, teacher in enumerate(teachers):
            stronger = replace(config.training, augment=config.augmented_by)
            training = stronger if i >= len(teachers) - config.augmented else config.training
            seed = data.seed + 1000 * (i + 1)
            fraction = 1 / (len(teachers) - i + 1)  # as long for every teacher as for the student
            train_on_labels(teacher, data.train, training, session.shared(), seed, f"teacher_{i}", fraction=fraction)
    setup = build(config, data, networks)
    record = session.fit(setup, config)
    kept = {f"teacher_{i}": teacher for i, teacher in enumerate(teachers)} if config.alpha else {}
    return Trained(setup.method.exported()["student"], "classify", kept, record)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of the student, also by the frequency of the classes, and mean accuracy of the teachers."""
    predicted, labels = predicted_classes(trained.student, data.test).numpy(), data.test.labels.numpy()
    found = {"accuracy": accuracy(predicted, labels)}
    found |= many_medium_few(predicted, labels, data.train.counts().numpy())
    if teachers := trained.networks.values():
        found["teacher"] = sum(network_accuracy(teacher, data.test) for teacher in teachers) / len(teachers)
    return found


STUDY = Study(
    config=Config(
        student="cnn-8-16-32",
        teacher=("cnn-8-16-32", "cnn-8-16-32"),
        augmented=1,
        augmented_by="small",
        training=Training(60, 32, "shift", OptimizerSteps("sgd", 0.05, 2.5e-4, momentum=0.9, schedule="cosine")),
    ),
    variants={
        "baseline": {"alpha": 0.0, "sampling": "instance"},
        "method": {},
        "weight 0": {"alpha": 0.0},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    evaluate=metrics,
    data="digits",
    imbalance=50.0,
    paper_data="folder:PATH,size=224",
    notes="the digits of scikit-learn, 2 to about 120 training images per class, test images as they are; two teachers",
    meaning="baseline: the same student on images as they come, weight 0: on class-balanced images",
)
