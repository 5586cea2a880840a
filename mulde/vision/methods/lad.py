"""LAD: a frozen teacher tells a student detector which anchors to learn from, by its own costs.

    teacher ──costs of the candidates──▶ assignment (PAA) ──labels──▶ student ◀── boxes of the data

    L = focal(class) + 1.3 GIoU(box) + 0.5 BCE(IoU) on anchors that the teacher chose
        [+ 2 KL_f(classes) + 10 KL_f(IoU) + 1.3 GIoU(teacher's box) with soft labels, SoLAD]

Source: Nguyen et al., "Improving Object Detection by Label Assignment Distillation", WACV 2022, arXiv
2108.10520, and the authors' code. Left to us where neither says it: the region of the IoU branch's soft term,
which is that of the boxes (the teacher's box overlaps its anchor's object by more than 0.5). The pure soft
label run of the paper is `labels="own", soft_class_weight=10`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, frozen
from mulde.losses.detection import focal_kl, giou_loss, iou
from mulde.vision.ablation.study import Verification
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models.assignment import of_owner, owners
from mulde.vision.models.detector import AnchorDetector, Anchored, anchored_losses, assigned
from mulde.vision.models.initial import anchor_detector
from mulde.vision.training.detection import as_rows, detection_metrics, train_on_boxes
from mulde.vision.training.feeds import BoxBatch, BoxFeed
from mulde.vision.training.session import OptimizerSteps, Session, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for COCO in 12 epochs; unlike its trunks ours begin untrained.

    All images are held in memory: at 800 pixels COCO takes 480 GB, at size=256 it takes 50.
    """

    network: str = "imagenet-resnet50"
    """The student's trunk, see `mulde.vision.models.names`."""
    teacher: str = "imagenet-resnet101"
    """The teacher's, which may be smaller than the student's."""
    channels: int = 64
    """Channels of the first stage of a residual network for small images."""
    width: int = 256
    """Channels of pyramid and head, of both."""
    anchor_scale: float = 8.0
    """Side of an anchor, in steps of its level."""
    stages: int = 3
    """Last stages of the trunks that are levels of the pyramid; of a ResNet, strides 8, 16 and 32."""
    extra: int = 2
    """Further levels, each half as large as the one before; strides 64 and 128."""
    tower: int = 4
    """Convolutions of the head before classes, and before boxes."""
    labels: Literal["teacher", "own"] = "teacher"
    """Whose costs choose the anchors; "own" is PAA."""
    soft_class_weight: float = 0.0
    """Weight of the classes' soft labels; SoLAD 2."""
    soft_iou_weight: float = 0.0
    """Weight of the IoU branch's soft labels; SoLAD 10."""
    soft_box_weight: float = 0.0
    """Weight of the GIoU loss with the teacher's boxes; SoLAD 1.3."""
    soft_power: float = 0.5
    """Exponent of |p - q| in the soft labels' loss."""
    shuffled: bool = False
    """Sabotage: the teacher looks at another image of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            12, 16, "flip", OptimizerSteps("sgd", 0.01, 1e-4, momentum=0.9, milestones=(8, 11), warmup_epochs=0.07)
        )
    )
    """Length, batches and optimiser, of both."""

    @property
    def asks(self) -> bool:
        """Whether the teacher has a say."""
        return self.labels == "teacher" or any((self.soft_class_weight, self.soft_iou_weight, self.soft_box_weight))


class LAD(Method):
    """One learner, `student`, and a frozen teacher."""

    def __init__(self, student: AnchorDetector, teacher: AnchorDetector, config: Config) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        own: Anchored = self.student(batch.images)
        judge, terms = own, {}
        if self.config.asks:
            with torch.no_grad():
                theirs: Anchored = self.teacher(batch.images.roll(int(self.config.shuffled), 0))
            if theirs.anchors.shape != own.anchors.shape or not torch.equal(theirs.anchors, own.anchors):
                raise ValueError(
                    f"teacher and student look at different anchors ({len(theirs.anchors)} and {len(own.anchors)}); "
                    "take trunks with as many stages and one anchor_scale"
                )
            terms = self._soft(own, theirs, batch)
            judge = theirs if self.config.labels == "teacher" else own
        assignment = assigned(judge, batch.boxes, batch.labels)
        terms = anchored_losses(own, assignment, batch.boxes, batch.labels) | terms
        return {f"student/{name}": value for name, value in terms.items()}

    def _soft(self, own: Anchored, theirs: Anchored, batch: BoxBatch) -> dict[str, Tensor]:
        """The terms of SoLAD, normalised by the number of anchors whose box the teacher places well."""
        config, terms = self.config, {}
        owner = owners(own.anchors, batch.boxes, batch.labels)
        well = (owner >= 0) & (iou(theirs.boxes, of_owner(owner, batch.boxes, batch.labels)[0]) > 0.5)
        many = well.sum().clamp_min(1)
        if config.soft_class_weight:
            kl = focal_kl(theirs.logits, own.logits, config.soft_power).sum()
            terms["soft_class"] = config.soft_class_weight * kl / many
        if config.soft_iou_weight:
            kl = focal_kl(theirs.overlaps[well], own.overlaps[well], config.soft_power).sum()
            terms["soft_iou"] = config.soft_iou_weight * kl / many
        if config.soft_box_weight:
            terms["soft_box"] = config.soft_box_weight * giou_loss(own.boxes[well], theirs.boxes[well]).sum() / many
        return terms

    def predict(self, batch: BoxBatch) -> Tensor:
        """The student's detections (b, n, 6): box, score, class."""
        return as_rows(self.student.detect(batch.images))

    def exported(self) -> dict[str, nn.Module]:
        """The student."""
        return {"student": self.student}


def build(config: Config, split: Split[DetectionSet], teacher: AnchorDetector | None = None) -> tuple[LAD, BoxFeed]:
    """A fresh student, its teacher (untrained unless given), and batches."""
    student = _fresh("student", config.network, config, split)
    teacher = teacher or _fresh("teacher", config.teacher, config, split)
    return LAD(student, teacher, config), config.training.box_feed(split.train, split.seed)


def run(config: Config, split: Split[DetectionSet], session: Session) -> dict[str, float]:
    """Train the teacher, where it has a say, then the student; COCO's metrics of the student, AP of the teacher."""
    teacher, found = _fresh("teacher", config.teacher, config, split), {}
    if config.asks:
        train_on_boxes(teacher, split.train, config.training, session.shared(), split.seed, "teacher")
        found = {"teacher": detection_metrics(teacher, split.test)["ap"]}
    method, feed = build(config, split, teacher)
    session.fit(method, feed, config)
    return detection_metrics(method.student, split.test) | found


def _fresh(role: str, name: str, config: Config, split: Split[DetectionSet]) -> AnchorDetector:
    return anchor_detector(
        role,
        name,
        split,
        channels=config.channels,
        width=config.width,
        anchor_scale=config.anchor_scale,
        stages=config.stages,
        extra=config.extra,
        tower=config.tower,
    )


VERIFICATION = Verification(
    config=Config(
        network="cnn-4-8-12-16",
        teacher="cnn-8-16-32-48",
        width=24,
        anchor_scale=3.0,
        stages=2,
        extra=0,
        tower=1,
        training=Training(8, 16, "none", OptimizerSteps("adam", 2e-3)),
    ),
    arms={
        "baseline": {"labels": "own"},
        "method": {},
        "term at zero": {"labels": "own"},
        "sabotage": {"shuffled": True},
    },
    metric="ap",
    data="scenes:1200",
    train=400,
    test=400,
    read=load_boxed,
    paper_data="coco:PATH,size=800",
    notes="generated scenes of 64 x 64 pixels instead of COCO; small trunks, two levels",
)
