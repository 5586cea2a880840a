"""LAD: label assignment distillation from a frozen teacher detector.

    teacher ──costs of the candidates──▶ assignment (PAA) ──labels──▶ student ◀── boxes of the data

    L = focal(class) + 1.3 GIoU(box) + 0.5 BCE(IoU) on anchors that the teacher assigns
        [+ (2 Σ KL_f(classes) + 10 Σ KL_f(IoU) + 1.3 Σ u GIoU(teacher's box)) / Σ u with soft labels, SoLAD]

Source: Nguyen et al., "Improving Object Detection by Label Assignment Distillation", WACV 2022, arXiv
2108.10520, and the authors' code. u is the largest IoU of the teacher's box with any object of the image. The
terms of IoU branch and boxes are sums over the anchors with u > 0.5, that of the classes over all anchors. Without
any u > 0.5 the divisor is 0.5, where the code divides by zero. The pure soft label run of the paper is `labels="own",
soft_class_weight=10`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mulde.config import NonNegative
from mulde.engine import Clock, Method, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Trained
from mulde.errors import UsageError
from mulde.losses.detection import focal_kl, giou_loss
from mulde.vision.ablation.study import Study
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models.boxes import pairwise_iou
from mulde.vision.models.initial import anchor_detector, by_role
from mulde.vision.models.one_stage import AnchorDetector, Anchored, DetectorShape, anchored_losses, assigned
from mulde.vision.training.detection import DETECTOR, TEACHER, as_rows, train_teacher
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session


def _schedule() -> Training:
    """The paper's schedule of 12 epochs."""
    return Training(
        12, 16, "flip", OptimizerSteps("sgd", 0.01, 1e-4, momentum=0.9, milestones=(8, 11), warmup_epochs=0.07)
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for COCO in 12 epochs; our trunks begin untrained.

    All images are held in memory: at 800 pixels COCO takes 480 GB, at size=256 it takes 50.
    """

    student: str = "imagenet-resnet50"
    """The student's trunk, see `mulde.vision.models.networks`."""
    teacher: str = "imagenet-resnet101"
    """The teacher's trunk; may be smaller than the student's."""
    shape: DetectorShape = field(default_factory=DetectorShape)
    """Shape of both detectors."""
    labels: Literal["teacher", "own"] = "teacher"
    """Detector whose costs assign the anchors; "own" (the student's) is PAA (Kim and Lee 2020)."""
    soft_class_weight: NonNegative = 0.0
    """Weight of the classes' soft labels; 2 in the paper's SoLAD."""
    soft_iou_weight: NonNegative = 0.0
    """Weight of the IoU branch's soft labels; 10 in SoLAD."""
    soft_box_weight: NonNegative = 0.0
    """Weight of the GIoU loss with the teacher's boxes; 1.3 in SoLAD."""
    soft_power: NonNegative = 0.5
    """Exponent of |p - q| in the soft labels' loss, smoothed near 0."""
    shuffled: bool = False
    """Control: the teacher receives another image of the batch."""
    training: Training = field(default_factory=_schedule)
    """Epochs, batches and optimiser of the student."""
    teacher_training: Training = field(default_factory=_schedule)
    """Training of a teacher with new weights; of the same length in the paper."""
    teacher_data: str = ""
    """Images with boxes on which such a teacher is trained, as after --data; empty: those of the student."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on the teacher."""
        return self.labels == "teacher" or any((self.soft_class_weight, self.soft_iou_weight, self.soft_box_weight))


WELL_PLACED = 0.5
"""Smallest overlap of a box of the teacher with an object, above which SoLAD distils it."""

RECOMMENDED = {
    **DETECTOR,
    **TEACHER,
    "student": "cnn-16-32-64-128",
    "teacher": "cnn-32-64-128-256",
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "detection"
NEEDS = Needs("boxes", {"student": Role("detections"), "teacher": Role("detections")})


class LAD(Method):
    """One learner, `student`, and a frozen teacher."""

    def __init__(self, student: AnchorDetector, teacher: AnchorDetector, config: Config) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        own: Anchored = self.student(batch.images)
        assigning, terms = own, {}
        if self.config.uses_teacher:
            with torch.no_grad():
                theirs: Anchored = self.teacher(batch.images.roll(int(self.config.shuffled), 0))
            if theirs.anchors.shape != own.anchors.shape or not torch.equal(theirs.anchors, own.anchors):
                raise UsageError(
                    f"teacher and student have different anchors ({len(theirs.anchors)} and {len(own.anchors)}); "
                    "take trunks with as many stages and one anchor_scale"
                )
            terms = self._soft(own, theirs, batch)
            assigning = theirs if self.config.labels == "teacher" else own
        assignment = assigned(assigning, batch.boxes, batch.labels)
        terms = anchored_losses(own, assignment, batch.boxes, batch.labels) | terms
        return {f"student/{name}": value for name, value in terms.items()}

    def _soft(self, own: Anchored, theirs: Anchored, batch: BoxBatch) -> dict[str, Tensor]:
        """The terms of SoLAD, divided by the sum of the overlaps of well placed boxes of the teacher with objects."""
        config, terms = self.config, {}
        overlap = pairwise_iou(theirs.boxes, batch.boxes).masked_fill(batch.labels[:, None] < 0, 0.0).amax(2)
        well = overlap > WELL_PLACED
        many = overlap[well].sum().clamp_min(WELL_PLACED)
        if config.soft_class_weight:
            kl = focal_kl(theirs.logits, own.logits, config.soft_power).sum()
            terms["soft_class"] = config.soft_class_weight * kl / many
        if config.soft_iou_weight:
            kl = focal_kl(theirs.overlaps[well], own.overlaps[well], config.soft_power).sum()
            terms["soft_iou"] = config.soft_iou_weight * kl / many
        if config.soft_box_weight:
            loss = (overlap[well] * giou_loss(own.boxes[well], theirs.boxes[well])).sum()
            terms["soft_box"] = config.soft_box_weight * loss / many
        return terms

    def predict(self, batch: BoxBatch) -> Tensor:
        """The student's detections (b, n, 6): box, score, class."""
        return as_rows(self.student.detect(batch.images))

    def exported(self) -> dict[str, nn.Module]:
        """The student."""
        return {"student": self.student}


def networks(config: Config, data: Split[DetectionSet], given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already."""
    new = {
        "student": lambda: anchor_detector("student", config.student, data, config.shape),
        "teacher": lambda: anchor_detector("teacher", config.teacher, data, config.shape),
    }
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split[DetectionSet], networks: Mapping[str, Any]) -> LAD:
    """The student with its teacher, on the default batches."""
    return LAD(networks["student"], networks["teacher"], config)


def run(config: Config, data: Split[DetectionSet], session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where a term depends on it and it is not given, then the student."""
    teacher = networks["teacher"]
    if config.uses_teacher and not is_frozen(teacher):
        train_teacher(teacher, data, config.teacher_training, session, config.teacher_data)
    record = session.fit(build(config, data, networks), config, data=data)
    kept = {"teacher": teacher} if config.uses_teacher else {}
    return Trained(networks["student"], "detect", kept, record)


STUDY = Study(
    config=Config(
        student="cnn-4-8-12-16",
        teacher="cnn-8-16-32-48",
        shape=DetectorShape(width=24, anchor_scale=3.0, stages=2, extra=0, tower=1),
        training=Training(8, 16, "none", OptimizerSteps("adam", 2e-3)),
        teacher_training=Training(8, 16, "none", OptimizerSteps("adam", 2e-3)),
    ),
    variants={
        "baseline": {"labels": "own"},
        "method": {},
        "control": {"shuffled": True},
    },
    metric="ap",
    data="scenes:1200",
    train=400,
    test=400,
    read=load_boxed,
    paper_data="coco:PATH,size=800",
    notes="generated scenes of 64 x 64 pixels instead of COCO; small trunks, two levels",
)
