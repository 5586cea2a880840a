"""LossLandscape: a born-again pair with CutMix and a loss-driven learning rate, for flat minima.

    labels ──▶ 1 teacher (frozen) ──soft loss, same mixed images──▶ 2 student ◀── mixed labels
    and with --first-size, on larger images:   2 student ──labels──▶ 3 second teacher ──soft loss──▶ 4 student

    L = w_h CE(z, y_mixed) + w_s T² KL(softmax z_teacher/T ‖ softmax z/T)

Source: Chen, Shao, Wang, Shang, Chen, Ji, Wu, "Bootstrap Generalization Ability from Loss Landscape Perspective", ECCV
2022 Workshops, arXiv 2209.08473, and the authors' code, for domain generalisation; the name of the method is ours. Both
networks have one architecture. Gradients are clipped by value, and the learning rate follows the loss
(`--loss-driven-factor`). Ours are: the network (a PyramidNet there), momentum, weight decay, batches, the bound on the
epochs, and that stage 4 continues with the student of stage 2. In the released loop the teacher also follows the
student in every 50th epoch (`--follow-every 50`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.additions import Additions
from mulde.config import NonNegative, Positive, Size, Whole
from mulde.engine import Clock, average_of, frozen, is_frozen, update_average
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.augmentation import cutmix
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.cached import Outputs
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import evaluate, network_accuracy
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels
from mulde.vision.training.surface import sharpness_of, write_surfaces


@dataclass(frozen=True, kw_only=True)
class Config:
    """The released values, with a wide residual network."""

    student: str = "wrn-28-10"
    """The network of all stages."""
    teacher: str | None = None
    """The teacher, which is first trained on the labels unless it is trained already; none: a network like the
    student."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    first_size: Whole = 0
    """Rows and columns of the images in stages 1 and 2, where stages 3 and 4 have the size of the data; 0: there are
    two stages."""
    hard_weight: NonNegative = 1.0
    """Weight of the cross entropy with the labels of the mixed images."""
    soft_weight: NonNegative = 1.0
    """Weight of the soft loss."""
    temperature: Positive = 4.0
    """T."""
    cutmix: bool = True
    """Mix the images of a batch before both networks see them."""
    follow_every: Whole = 0
    """In every epoch whose number, counted from 0, is a multiple of this, the teacher becomes 0.999 of itself and 0.001
    of the student after each update; 0: it stays as it is."""
    surface_steps: Whole = 11
    """Points in each direction of the loss surfaces of teacher and student, an odd number, which are kept in the run
    folder; 0: none."""
    shuffled: bool = False
    """Control: the teacher receives other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            optimizer=OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, warmup_epochs=5),
            additions=Additions(max_grad_value=0.1, loss_driven_factor=0.9),
        )
    )
    """Stages 1 and 2."""
    finetuning: Training = field(
        default_factory=lambda: Training(
            100,
            optimizer=OptimizerSteps("sgd", 0.01, 5e-4, momentum=0.9, warmup_epochs=10),
            additions=Additions(max_grad_value=0.1, loss_driven_factor=0.8, accumulate=4),
        )
    )
    """Stages 3 and 4."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on the teacher."""
        return self.soft_weight > 0


RECOMMENDED = {
    **ONE_COMPUTER,
    "student": "resnet20",
    "schedule": "constant",
    "warmup_epochs": 2,
    "finetuning_epochs": 20,
    "finetuning_batch_size": 64,
    "finetuning_warmup_epochs": 2,
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "domain generalisation"
NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("logits")})


class LossLandscape(ClassifierMethod):
    """One learner, `student`, and a teacher that stays as it is, or follows the student."""

    momentum = 0.999

    def __init__(self, student: nn.Module, teacher: nn.Module, config: Config) -> None:
        super().__init__()
        self.student, self.config, self.temperature = student, config, config.temperature
        follows = bool(config.follow_every and config.uses_teacher)
        if follows and shapes_of(student) != shapes_of(teacher):
            raise UsageError("--follow-every needs a teacher of the student's architecture; leave out --teacher")
        self.teacher = average_of(teacher) if follows else frozen(teacher)
        self.outputs = Outputs(config.training.watermark.on(self.teacher, "logits"))

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, images, labels, partner, kept = self.config, batch.images, batch.labels, None, 1.0
        if config.cutmix:
            images, partner, kept = cutmix(images)
        own, terms = self.student(images).logits, {}
        if config.hard_weight:
            hard = kept * functional.cross_entropy(own, labels)
            if partner is not None:
                hard = hard + (1 - kept) * functional.cross_entropy(own, labels[partner])
            terms["student/hard"] = config.hard_weight * hard
        if config.soft_weight:
            target = self.outputs(images.roll(int(config.shuffled), 0), batch.index).logits
            terms["student/soft"] = config.soft_weight * kd(target, own, self.temperature)
        return terms

    def after_update(self, clock: Clock) -> None:
        """Let the teacher follow the student, where it does."""
        if not is_frozen(self.teacher) and clock.epoch % self.config.follow_every == 0:
            update_average(self.teacher, self.student, self.momentum)


def shapes_of(network: nn.Module) -> dict[str, torch.Size]:
    """Shapes of all weights and buffers, by name."""
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already.

    Without one, the teacher is a network like the student, and begins at the weights of a given student.
    """

    def like_student() -> nn.Module:
        if "student" in given:
            return copy.deepcopy(given["student"])
        return classifier("teacher", config.student, data, config.channels)

    def first() -> nn.Module:
        return classifier("teacher", config.teacher, data, config.channels) if config.teacher else like_student()

    new = {"student": lambda: classifier("student", config.student, data, config.channels), "teacher": first}
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> LossLandscape:
    """The student with its teacher."""
    return LossLandscape(networks["student"], networks["teacher"], config)


def at_size(images: ImageSet, size: int) -> ImageSet:
    """The images with this number of rows and columns, standardised as before; 0: as they are."""
    return replace(replace(images, scale=None).resized(size), scale=images.scale) if size else images


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """The two or four stages, and the loss surfaces."""
    student, teacher = networks["student"], networks["teacher"]
    images, stages = at_size(data.train, config.first_size), 4 if config.first_size else 2
    if config.uses_teacher and not is_frozen(teacher):
        train_on_labels(
            teacher, images, config.training, session.shared(), data.seed, "teacher", fraction=1 / stages
        )  # fmt: skip
    if config.first_size:
        first = Setup(LossLandscape(student, teacher, config), config.training.feed(images, data.seed))
        session.fit(first, config, name="first-size", fraction=1 / 3)
        config = replace(config, training=config.finetuning)
        if config.uses_teacher:
            teacher = copy.deepcopy(student)
            train_on_labels(teacher, data.train, config.training, session, data.seed, "finetuning", fraction=0.5)
    method = LossLandscape(student, teacher, config)
    record = session.fit(method, config, data=data)
    kept = {"teacher": method.teacher} if config.uses_teacher else {}
    compared = {**kept, "student": student}
    figures = {f"{name}_sharpness": sharpness_of(network, data.train) for name, network in compared.items()}
    if session.folder is not None and config.surface_steps:
        write_surfaces(session.folder, compared, data.train, config.surface_steps, session.report)
    return Trained(student, "classify", kept, record, figures)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Metrics, and the student's accuracy on test images that are turned by 60 degrees, as none in training is."""
    return evaluate(trained, data) | {"unseen_accuracy": network_accuracy(trained.student, turned(data.test, 60.0))}


def turned(images: ImageSet, degrees: float) -> ImageSet:
    """The images turned around their middle, by bilinear interpolation, with 0 outside."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]])
    pixels = replace(images, scale=None).pixels()
    grid = functional.affine_grid(rows.expand(len(pixels), -1, -1), list(pixels.shape), align_corners=False)
    return replace(images, images=functional.grid_sample(pixels, grid, align_corners=False))


STUDY = Study(
    config=Config(
        student="cnn-16-32",
        surface_steps=0,
        training=Training(
            25,
            64,
            "none",
            OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, warmup_epochs=2),
            kornia="RandomRotation(30.0,p=1.0)",
            additions=Additions(max_grad_value=0.1, loss_driven_factor=0.9),
        ),
    ),
    variants={
        "baseline": {"soft_weight": 0.0},
        "method": {},
        "control": {"shuffled": True},
    },
    metric="unseen_accuracy",
    second_metric="accuracy",
    evaluate=metrics,
    data="digits",
    train=600,
    paper_data="folder:PATH,size=384",
    paper_metric="accuracy",
    notes="600 digits of scikit-learn, turned by up to 30 degrees in training and by 60 in the test; two stages",
)
