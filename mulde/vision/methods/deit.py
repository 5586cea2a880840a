"""DeiT: a vision transformer whose distillation token learns from a convolutional teacher.

    labels ──▶ class token's head      student = mean of both heads      distillation token's head ◀── teacher (frozen)

    hard:  L = (1 - α) CE_ε(z_class, y) + α CE(z_dist, argmax z_teacher)
    soft:  L = (1 - α) CE_ε(z_class, y) + α T² KL(softmax z_teacher/T ‖ softmax z_dist/T)

Source: Touvron, Cord, Douze, Massa, Sablayrolles, Jégou, "Training data-efficient image transformers & distillation
through attention", ICML 2021, arXiv 2012.12877, and the authors' code. The labels are smoothed by ε, the teacher's are
not. The network computes the mean of both heads, in `mulde/vision/models/transformer.py`. The teacher sees the same
augmented images as the student. The released soft loss divides the sum of the KL by the number of logits, not of
images: k times weaker for k classes. Ours is the mean over images; `reduction` has both.
Left out of the released recipe: mixup and CutMix, RandAugment, random erasing, stochastic depth, repeated augmentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Positive, Range, Size
from mulde.engine import Clock, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Trained
from mulde.errors import UsageError
from mulde.losses.soft_labels import kd
from mulde.metrics.classification import accuracy
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import Features
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import evaluate
from mulde.vision.training.feeds import ImageBatch, pass_over
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels

Part = Annotated[float, Range(0, 1)]
"""Type of a fraction."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The released values for ImageNet, with a residual network in place of the paper's RegNetY as the teacher."""

    student: str = "deit-base-patch16"
    """The student, a transformer with a distillation token: deit-tiny-patch16, or deit-WIDTH-DEPTH-HEADS-patchSIZE."""
    teacher: str = "imagenet-resnet50"
    """The teacher, which is first trained on the labels unless it is trained already."""
    channels: Size = 16
    """Channels of the first stage of a residual network for small images."""
    target: Literal["hard", "soft"] = "hard"
    """What the distillation token learns: the teacher's first class, or its probabilities."""
    alpha: Part = 0.5
    """α, weight of the teacher; at 0 the mean of both heads learns from the labels alone."""
    temperature: Positive = 1.0
    """T of soft targets."""
    reduction: Literal["mean", "elements"] = "mean"
    """Of the soft loss. mean: over images; elements: over images and classes, as in the released code."""
    smoothing: Part = 0.1
    """ε, part of a label's probability that is spread over all classes."""
    shuffled: bool = False
    """Control: the teacher receives other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            300,
            1024,
            "crop-flip",
            OptimizerSteps("adamw", 1e-3, 0.05, schedule="cosine", final_fraction=0.01, warmup_epochs=5),
        )
    )
    """Epochs, batches and optimiser, of both."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on the teacher."""
        return self.alpha > 0


RECOMMENDED = {
    **ONE_COMPUTER,
    "student": "deit-192-6-3-patch4",
    "teacher": "resnet20",
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.05,
    "warmup_epochs": 5,
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "compression"
NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("logits")})


class DeiT(ClassifierMethod):
    """One learner, `student`, and a frozen teacher."""

    def __init__(self, student: nn.Module, teacher: nn.Module, config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        self.outputs = config.training.outputs_of(self.teacher, images, "logits")

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, found = self.config, self.student(batch.images)
        own, distilled = both_heads(found) if config.alpha else (found.logits, found.logits)
        terms = {}
        if config.alpha < 1:
            hard = functional.cross_entropy(own, batch.labels, label_smoothing=config.smoothing)
            terms["student/hard"] = (1 - config.alpha) * hard
        if config.alpha:
            images, rows = batch.images, batch.index
            if config.shuffled:
                images, rows = images.roll(1, 0), rows.roll(1)
            target = self.outputs(images, rows).logits
            if config.target == "hard":
                soft = functional.cross_entropy(distilled, target.argmax(1))
            else:
                soft = kd(target, distilled, config.temperature, config.reduction)
            terms["student/soft"] = config.alpha * soft
        return terms


def both_heads(found: Features) -> tuple[Tensor, Tensor]:
    """Logits (b, k) of the class token's head and of the distillation token's.

    Raises
    ------
    UsageError
        For a network without a distillation token.
    """
    if len(found.heads) != 2:
        raise UsageError(
            "deit trains a student with a distillation token; choose one such as deit-tiny-patch16 or "
            "deit-64-4-2-patch4, or distil this student with another method, for example kd"
        )
    return found.heads[0], found.heads[1]


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already."""
    new = {
        "student": lambda: classifier("student", config.student, data, config.channels),
        "teacher": lambda: classifier("teacher", config.teacher, data, config.channels),
    }
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> DeiT:
    """The student with its teacher."""
    return DeiT(networks["student"], networks["teacher"], config, data.train)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where a term depends on it and it is not given, then the student."""
    teacher = networks["teacher"]
    if config.uses_teacher and not is_frozen(teacher):
        train_on_labels(teacher, data.train, config.training, session.shared(), data.seed, "teacher", fraction=0.3)
    record = session.fit(build(config, data, networks), config, data=data)
    return Trained(networks["student"], "classify", {"teacher": teacher} if config.uses_teacher else {}, record)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of student and teacher, and of each head of the student alone."""
    student = trained.student.eval()
    with torch.no_grad():
        found = [both_heads(student(batch.images)) for batch in pass_over(data.test)]
    heads = {name: torch.cat([each[i] for each in found]) for i, name in enumerate(("class_head", "distillation_head"))}
    labels = data.test.labels.numpy()
    own = {name: accuracy(logits.argmax(1).numpy(), labels) for name, logits in heads.items()}
    return evaluate(trained, data) | own


STUDY = Study(
    config=Config(
        student="deit-32-2-2-patch2",
        teacher="cnn-16-32",
        training=Training(40, 32, "none", OptimizerSteps("adamw", 3e-3, 0.05, schedule="cosine", warmup_epochs=3)),
    ),
    variants={"baseline": {"alpha": 0.0}, "method": {}, "control": {"shuffled": True}},
    metric="accuracy",
    evaluate=metrics,
    data="digits",
    train=300,
    paper_data="folder:PATH,size=224",
    notes="300 digits of scikit-learn, patches of 2 x 2 pixels, a convolutional teacher of the same images",
)
