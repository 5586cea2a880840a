"""Chen17: distillation of a two-stage detector on features, classes and boxes.

    student: trunk ─▶ RPN ─▶ proposals ─▶ RCN       hint: map, through an adaptation layer ◀── teacher's map
    teacher: trunk ─▶ RPN          ╰────▶ RCN       soft labels and a bound for offsets, on the same regions

    L = L_RPN + L_RCN + γ ‖A(V) - Z‖²,  each of the first two  μ CE(y) + (1 - μ) L_soft + λ (smoothL1 + ν L_bounded)
    L_soft = -Σ_c w_c p_teacher log p,  w = 1.5 for background;  L_bounded = ‖R - y‖² where the teacher is better

Source: Chen, Choi, Yu, Han, Chandraker, "Learning Efficient Object Detection Models with Knowledge
Distillation", NIPS 2017; there is no code by the authors. Ours: μ and the margin m, which we did not find. The
teacher's RCN is applied to the student's minibatch of regions, because soft labels need the same boxes;
box losses count positives only and are divided by the minibatch; the hint is a mean over all elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mulde.config import Count, NonNegative, Positive, Size
from mulde.engine import Clock, Method, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Trained
from mulde.errors import UsageError
from mulde.losses.detection import bounded_regression, weighted_soft_cross_entropy
from mulde.losses.features import hint
from mulde.vision.ablation.study import Study
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models import network, seeded
from mulde.vision.models.initial import by_role
from mulde.vision.models.two_stage import (
    Targets,
    TwoStageDetector,
    hard_box_loss,
    hard_class_loss,
    mean_over,
    of_class,
)
from mulde.vision.training.detection import SMALL_TRAINING, TEACHER, as_rows, train_teacher
from mulde.vision.training.evaluation import evaluate
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session


def _schedule() -> Training:
    return Training(14, 2, "flip", OptimizerSteps("sgd", 1e-3, 5e-4, momentum=0.9, milestones=(10,)))


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's constants and teacher with Faster R-CNN's minibatches and anchors; the student's trunk is plainer."""

    student: str = "cnn-32-64-128-256-256"
    """The student's trunk, see `mulde.vision.models.networks`; the paper's are AlexNet and similar ones."""
    teacher: str = "vgg16"
    """The teacher's trunk; both trunks begin untrained, the paper's with weights from ImageNet."""
    channels: Size = 64
    """Channels of the first stage of a residual network for small images."""
    width: Size = 512
    """Channels of the student's RPN."""
    hidden: Size = 4096
    """Width of the student's RCN."""
    teacher_width: Size = 512
    """Channels of the teacher's RPN."""
    teacher_hidden: Size = 4096
    """Width of the teacher's RCN."""
    sides: tuple[Positive, ...] = (128.0, 256.0, 512.0)
    """Sides of the square anchors, in pixels."""
    bins: Size = 7
    """Rows and columns read from a region."""
    drawn_anchors: Count = 256
    """Anchors of an image in a minibatch, M."""
    drawn_regions: Count = 64
    """Regions of an image in a minibatch, N."""
    before: Count = 2000
    """Proposals of an image before non-maximum suppression."""
    proposals: Count = 300
    """Proposals of an image after non-maximum suppression."""
    hard_weight: NonNegative = 0.5
    """μ, weight of the hard class loss; 1 - μ is that of the soft one. Not from the paper."""
    background_weight: NonNegative = 1.5
    """w of the background in the soft class loss; 1 for all others."""
    box_weight: NonNegative = 1.0
    """λ, weight of the box losses."""
    bounded_weight: NonNegative = 0.5
    """ν, weight of the regression bounded by the teacher."""
    margin: float = 0.0
    """m, margin by which the student must be better than the teacher for a loss of 0. Not from the paper."""
    bounded: bool = True
    """Whether ‖R - y‖² is bounded by the teacher; without it, the plain L2 loss of the paper's ablation."""
    hint_weight: NonNegative = 0.5
    """γ, weight of the hint."""
    shuffled: bool = False
    """Control: the teacher receives another image of the batch."""
    training: Training = field(default_factory=_schedule)
    """Epochs, batches and optimiser of the student; not from the paper."""
    teacher_training: Training = field(default_factory=_schedule)
    """Training of a teacher with new weights; not from the paper."""
    teacher_data: str = ""
    """Images with boxes on which such a teacher is trained, as after --data; empty: those of the student."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on the teacher."""
        return self.hard_weight < 1 or bool(self.hint_weight) or (bool(self.bounded_weight) and self.bounded)


RECOMMENDED = {
    **SMALL_TRAINING,
    **TEACHER,
    "student": "cnn-16-32-64-128",
    "teacher": "cnn-32-64-128-256",
    "width": 64,
    "hidden": 128,
    "teacher_width": 128,
    "teacher_hidden": 256,
    "sides": (16.0, 32.0, 64.0),
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "detection"
NEEDS = Needs("boxes", {"student": Role("detections"), "teacher": Role("detections")})


class Chen17(Method):
    """One learner, `student` with its adaptation layer, and a frozen teacher."""

    def __init__(
        self, student: TwoStageDetector, teacher: TwoStageDetector, adapter: nn.Module, config: Config
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        self.adapter = adapter if config.hint_weight else nn.Identity()

    def learners(self) -> dict[str, Any]:
        return {"student": [*self.student.parameters(), *self.adapter.parameters()]}

    def losses(self, batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        config, student, image = self.config, self.student, batch.images.shape[2:]
        own = student(batch.images)
        anchors = student.anchor_targets(own.anchors, batch.boxes, batch.labels)
        regions, targets = student.region_targets(*student.propose(own, image), batch.boxes, batch.labels)
        output = student.classify(own.features, regions, image)
        offsets = of_class(output.offsets, targets.labels)
        if not config.uses_teacher:
            terms = self._stage("rpn", own.logits, own.offsets, anchors, None)
            terms |= self._stage("rcn", output.logits, offsets, targets, None)
            return {f"student/{name}": value for name, value in terms.items()}
        with torch.no_grad():
            theirs = self.teacher(batch.images.roll(int(config.shuffled), 0))
            their_output = self.teacher.classify(theirs.features, regions, image)
        if theirs.logits.shape != own.logits.shape:
            raise UsageError(
                f"teacher and student have {theirs.logits.shape[1]} and {own.logits.shape[1]} anchors; soft labels "
                "need the same ones: take trunks with as many stages"
            )
        their_offsets = of_class(their_output.offsets, targets.labels)
        terms = self._stage("rpn", own.logits, own.offsets, anchors, (theirs.logits, theirs.offsets))
        terms |= self._stage("rcn", output.logits, offsets, targets, (their_output.logits, their_offsets))
        if config.hint_weight:
            terms["hint"] = config.hint_weight * hint(self.adapter(own.features), theirs.features)
        return {f"student/{name}": value for name, value in terms.items()}

    def _stage(
        self, stage: str, logits: Tensor, offsets: Tensor, targets: Targets, teacher: tuple[Tensor, Tensor] | None
    ) -> dict[str, Tensor]:
        """Losses on classes and boxes of one stage; logits (b, n, k), offsets (b, n, 4), the teacher's likewise."""
        config = self.config
        terms = {f"{stage}_box": config.box_weight * mean_over(targets, hard_box_loss(offsets, targets))}
        if config.hard_weight:
            hard = mean_over(targets, hard_class_loss(logits, targets.labels))
            terms[f"{stage}_hard"] = config.hard_weight * hard
        if teacher is not None and config.hard_weight < 1:
            weights = torch.ones(logits.shape[2]).to(logits)
            weights[0] = config.background_weight
            soft = weighted_soft_cross_entropy(teacher[0].flatten(0, 1), logits.flatten(0, 1), weights)
            terms[f"{stage}_soft"] = (1 - config.hard_weight) * mean_over(targets, soft.view_as(targets.labels))
        if config.bounded_weight:
            bound = teacher[1].flatten(0, 1) if teacher is not None and config.bounded else None
            pushed = self._pushed(offsets.flatten(0, 1), bound, targets.offsets.flatten(0, 1))
            pushed = pushed.view_as(targets.labels) * (targets.labels > 0)
            terms[f"{stage}_bounded"] = config.box_weight * config.bounded_weight * mean_over(targets, pushed)
        return terms

    def _pushed(self, own: Tensor, teacher: Tensor | None, target: Tensor) -> Tensor:
        if teacher is None:
            return (own - target).square().sum(1)
        return bounded_regression(own, teacher, target, self.config.margin)

    def predict(self, batch: BoxBatch) -> Tensor:
        """The student's detections (b, n, 6): box, score, class."""
        return as_rows(self.student.detect(batch.images))

    def exported(self) -> dict[str, nn.Module]:
        """The student, without the adaptation layer."""
        return {"student": self.student}


def networks(config: Config, data: Split[DetectionSet], given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already."""
    new = {
        "student": lambda: _detector("student", config.student, config.width, config.hidden, config, data),
        "teacher": lambda: _detector(
            "teacher", config.teacher, config.teacher_width, config.teacher_hidden, config, data
        ),
    }
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split[DetectionSet], networks: Mapping[str, Any]) -> Chen17:
    """The student with its teacher and an adaptation layer, on the default batches."""
    student, teacher = networks["student"], networks["teacher"]
    with seeded(data.seed, "adapter"):
        adapter = nn.Conv2d(student.trunk.widths[-1], teacher.trunk.widths[-1], 1)
    return Chen17(student, teacher, adapter, config)


def run(config: Config, data: Split[DetectionSet], session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where a term depends on it and it is not given, then the student."""
    teacher = networks["teacher"]
    if config.uses_teacher and not is_frozen(teacher):
        train_teacher(teacher, data, config.teacher_training, session, config.teacher_data)
    record = session.fit(build(config, data, networks), config, data=data)
    kept = {"teacher": teacher} if config.uses_teacher else {}
    return Trained(networks["student"], "detect", kept, record)


def metrics(config: Config, data: Split[DetectionSet], trained: Trained) -> dict[str, float]:
    """COCO's metrics of the student, AP50 of the teacher."""
    return evaluate(trained, data, metric="ap50")


def _detector(
    role: str, name: str, width: int, hidden: int, config: Config, data: Split[DetectionSet]
) -> TwoStageDetector:
    with seeded(data.seed, role):
        return TwoStageDetector(
            network(name, 1, data.train.channels, channels=config.channels),
            data.classes,
            width=width,
            hidden=hidden,
            sides=config.sides,
            bins=config.bins,
            drawn_anchors=config.drawn_anchors,
            drawn_regions=config.drawn_regions,
            before=config.before,
            proposals=config.proposals,
        )


BASELINE = {"hard_weight": 1.0, "bounded_weight": 0.0, "hint_weight": 0.0}
STUDY = Study(
    config=Config(
        student="cnn-4-6-12-16",
        teacher="cnn-8-16-32-48",
        width=16,
        hidden=32,
        teacher_width=48,
        teacher_hidden=96,
        sides=(10.0, 16.0, 24.0),
        bins=4,
        drawn_anchors=64,
        drawn_regions=32,
        before=100,
        proposals=32,
        hint_weight=5.0,
        training=Training(40, 16, "none", OptimizerSteps("adam", 16e-3, schedule="cosine")),
        teacher_training=Training(60, 16, "none", OptimizerSteps("adam", 4e-3, schedule="cosine")),
    ),
    variants={
        "baseline": BASELINE,
        "method": {},
        "control": {"shuffled": True},
    },
    metric="ap50",
    evaluate=metrics,
    data="scenes:1200",
    train=150,
    test=400,
    read=load_boxed,
    paper_data="voc:PATH,size=600",
    notes="generated scenes of 64 x 64 pixels instead of PASCAL VOC; small trunks of four stages",
)
