"""Chen et al. 2017: a two-stage detector learns from a larger one, in its map, its proposals and its verdicts.

    student: trunk ─▶ RPN ─▶ proposals ─▶ RCN       hint: map, through an adaptation layer ◀── teacher's map
    teacher: trunk ─▶ RPN          ╰────▶ RCN       soft labels and a bound for offsets, on the same regions

    L = L_RPN + L_RCN + γ ‖A(V) - Z‖²,  each of the first two  μ CE(y) + (1 - μ) L_soft + λ (smoothL1 + ν L_bounded)
    L_soft = -Σ_c w_c p_teacher log p,  w = 1.5 for background;  L_bounded = ‖R - y‖² where the teacher is better

Source: Chen, Choi, Yu, Han, Chandraker, "Learning Efficient Object Detection Models with Knowledge
Distillation", NIPS 2017; there is no code by the authors. Ours: μ and the margin m, which we did not find; the
teacher's RCN judges the student's own minibatch of regions, as soft labels of other boxes would mean nothing;
box losses count positives only and are divided by the minibatch; the hint is a mean over all elements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, frozen
from mulde.losses.detection import bounded_regression, weighted_soft_cross_entropy
from mulde.losses.features import hint
from mulde.vision.ablation.study import Verification
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models import network, seeded
from mulde.vision.models.two_stage import (
    Targets,
    TwoStageDetector,
    hard_box_loss,
    hard_class_loss,
    mean_over,
    of_class,
)
from mulde.vision.training.detection import as_rows, detection_metrics, train_on_boxes
from mulde.vision.training.feeds import BoxBatch, BoxFeed
from mulde.vision.training.session import OptimizerSteps, Session, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's constants and teacher with Faster R-CNN's minibatches and anchors; the student's trunk is plainer."""

    network: str = "cnn-32-64-128-256-256"
    """The student's trunk, see `mulde.vision.models.names`; the paper's are AlexNet and its kind."""
    teacher: str = "vgg16"
    """The teacher's; in both, trunks begin untrained, the paper's with weights from ImageNet."""
    channels: int = 64
    """Channels of the first stage of a residual network for small images."""
    width: int = 512
    """Channels of the student's RPN."""
    hidden: int = 4096
    """Width of the student's RCN."""
    teacher_width: int = 512
    """Channels of the teacher's RPN."""
    teacher_hidden: int = 4096
    """Width of the teacher's RCN."""
    sides: tuple[float, ...] = (128.0, 256.0, 512.0)
    """Sides of the square anchors, in pixels."""
    bins: int = 7
    """Rows and columns read from a region."""
    drawn_anchors: int = 256
    """Anchors of an image in a minibatch, M."""
    drawn_regions: int = 64
    """Regions of an image in a minibatch, N."""
    before: int = 2000
    """Proposals of an image before suppression."""
    proposals: int = 300
    """Proposals of an image after it."""
    hard_share: float = 0.5
    """μ, the share of the hard class loss; the rest is soft. Not from the paper."""
    background_weight: float = 1.5
    """w of the background in the soft class loss; 1 for all others."""
    box_weight: float = 1.0
    """λ, weight of the box losses."""
    bounded_weight: float = 0.5
    """ν, weight of the regression bounded by the teacher."""
    margin: float = 0.0
    """m, by which the student has to be better than the teacher before it is left alone. Not from the paper."""
    bounded: bool = True
    """Without it ‖R - y‖² is always on: the plain L2 of the paper's ablation."""
    hint_weight: float = 0.5
    """γ, weight of the hint."""
    shuffled: bool = False
    """Sabotage: the teacher looks at another image of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            14, 2, "flip", OptimizerSteps("sgd", 1e-3, 5e-4, momentum=0.9, milestones=(10,))
        )
    )
    """Length, batches and optimiser, of both; not from the paper."""

    @property
    def asks(self) -> bool:
        """Whether the teacher has a say."""
        return self.hard_share < 1 or bool(self.hint_weight) or (bool(self.bounded_weight) and self.bounded)


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
        verdict = student.classify(own.features, regions, image)
        offsets = of_class(verdict.offsets, targets.labels)
        if not config.asks:
            terms = self._stage("rpn", own.logits, own.offsets, anchors, None)
            terms |= self._stage("rcn", verdict.logits, offsets, targets, None)
            return {f"student/{name}": value for name, value in terms.items()}
        with torch.no_grad():
            theirs = self.teacher(batch.images.roll(int(config.shuffled), 0))
            their_verdict = self.teacher.classify(theirs.features, regions, image)
        if theirs.logits.shape != own.logits.shape:
            raise ValueError(
                f"teacher and student look at {theirs.logits.shape[1]} and {own.logits.shape[1]} anchors; soft labels "
                "need the same ones: take trunks with as many stages"
            )
        their_offsets = of_class(their_verdict.offsets, targets.labels)
        terms = self._stage("rpn", own.logits, own.offsets, anchors, (theirs.logits, theirs.offsets))
        terms |= self._stage("rcn", verdict.logits, offsets, targets, (their_verdict.logits, their_offsets))
        if config.hint_weight:
            terms["hint"] = config.hint_weight * hint(self.adapter(own.features), theirs.features)
        return {f"student/{name}": value for name, value in terms.items()}

    def _stage(
        self, stage: str, logits: Tensor, offsets: Tensor, targets: Targets, teacher: tuple[Tensor, Tensor] | None
    ) -> dict[str, Tensor]:
        """Classes and boxes of one stage; logits (b, n, k), offsets (b, n, 4), the teacher's likewise."""
        config = self.config
        terms = {f"{stage}_box": config.box_weight * mean_over(targets, hard_box_loss(offsets, targets))}
        if config.hard_share:
            hard = mean_over(targets, hard_class_loss(logits, targets.labels))
            terms[f"{stage}_hard"] = config.hard_share * hard
        if teacher is not None and config.hard_share < 1:
            weights = torch.ones(logits.shape[2]).to(logits)
            weights[0] = config.background_weight
            soft = weighted_soft_cross_entropy(teacher[0].flatten(0, 1), logits.flatten(0, 1), weights)
            terms[f"{stage}_soft"] = (1 - config.hard_share) * mean_over(targets, soft.view_as(targets.labels))
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
        """The student; the adaptation layer stays behind."""
        return {"student": self.student}


def build(
    config: Config, split: Split[DetectionSet], teacher: TwoStageDetector | None = None
) -> tuple[Chen17, BoxFeed]:
    """A fresh student, its teacher (untrained unless given), and batches."""
    student = _fresh("student", config.network, config.width, config.hidden, config, split)
    teacher = teacher or _teacher(config, split)
    with seeded(split.seed, "adapter"):
        adapter = nn.Conv2d(student.trunk.widths[-1], teacher.trunk.widths[-1], 1)
    return Chen17(student, teacher, adapter, config), config.training.box_feed(split.train, split.seed)


def run(config: Config, split: Split[DetectionSet], session: Session) -> dict[str, float]:
    """Train the teacher, where it has a say, then the student; COCO's metrics of the student, AP50 of the teacher."""
    teacher, found = _teacher(config, split), {}
    if config.asks:
        train_on_boxes(teacher, split.train, config.training, session.shared(), split.seed, "teacher")
        found = {"teacher": detection_metrics(teacher, split.test)["ap50"]}
    method, feed = build(config, split, teacher)
    session.fit(method, feed, config)
    return detection_metrics(method.student, split.test) | found


def _teacher(config: Config, split: Split[DetectionSet]) -> TwoStageDetector:
    return _fresh("teacher", config.teacher, config.teacher_width, config.teacher_hidden, config, split)


def _fresh(
    role: str, name: str, width: int, hidden: int, config: Config, split: Split[DetectionSet]
) -> TwoStageDetector:
    with seeded(split.seed, role):
        return TwoStageDetector(
            network(name, 1, split.train.channels, channels=config.channels),
            split.classes,
            width=width,
            hidden=hidden,
            sides=config.sides,
            bins=config.bins,
            drawn_anchors=config.drawn_anchors,
            drawn_regions=config.drawn_regions,
            before=config.before,
            proposals=config.proposals,
        )


ALONE = {"hard_share": 1.0, "bounded_weight": 0.0, "hint_weight": 0.0}
VERIFICATION = Verification(
    config=Config(
        network="cnn-4-6-12-16",
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
        training=Training(10, 16, "none", OptimizerSteps("adam", 2e-3)),
    ),
    arms={
        "baseline": ALONE,
        "method": {},
        "term at zero": ALONE,
        "sabotage": {"shuffled": True},
    },
    metric="ap50",
    data="scenes:1200",
    train=400,
    test=400,
    read=load_boxed,
    paper_data="voc:PATH,size=600",
    notes="generated scenes of 64 x 64 pixels instead of PASCAL VOC; small trunks of four stages",
)
