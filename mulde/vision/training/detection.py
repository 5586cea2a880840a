"""Detectors: training on boxes as one stage, and COCO metrics."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, Record
from mulde.engine.protocol import Setup
from mulde.errors import UsageError
from mulde.metrics.detection import Objects, coco_metrics
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models.boxes import Detections
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import Training
from mulde.vision.training.session import Session

SMALL_TRAINING: dict[str, Any] = {
    "epochs": 30,
    "batch_size": 16,
    "optimizer": "adam",
    "lr": 1e-3,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "milestones": (),
}
"""Options of a training of a small detector on one computer; the learning rate falls to 0 along a cosine."""
TEACHER = {f"teacher_{name}": value for name, value in SMALL_TRAINING.items()}
"""The same options for a teacher that is trained first."""
DETECTOR: dict[str, Any] = {**SMALL_TRAINING, "width": 64, "anchor_scale": 4.0, "stages": 3, "extra": 0, "tower": 2}
"""Options of a small one-stage detector and its training."""


class Detector(Protocol):
    """A module that finds objects and computes the losses of its own plain training."""

    def detect(self, images: Tensor) -> Detections:
        """Objects, in the order of their scores."""

    def losses(self, images: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Scalar losses by name."""


class _OnBoxes(Method):
    """The detector's own losses; one learner, `detector`."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.detector = detector

    def learners(self) -> dict[str, Any]:
        return {"detector": self.detector.parameters()}

    def losses(self, batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        found = self.detector.losses(batch.images, batch.boxes, batch.labels)
        return {f"detector/{term}": value for term, value in found.items()}

    def predict(self, batch: BoxBatch) -> Tensor:
        return as_rows(self.detector.detect(batch.images))

    def exported(self) -> dict[str, nn.Module]:
        """The detector."""
        return {"student": self.detector}


def train_on_boxes(
    detector: nn.Module,
    images: DetectionSet,
    training: Training,
    session: Session,
    seed: int,
    name: str,
    *,
    fraction: float = 1.0,
) -> Record:
    """Train a `Detector` in place on images with boxes as one stage; see `train_on_labels` for the arguments."""
    setup = Setup(_OnBoxes(detector), training.box_feed(images, seed))
    return session.fit(setup, training, name=name, fraction=fraction)


def train_teacher(
    teacher: nn.Module, data: Split[DetectionSet], training: Training, session: Session, source: str = ""
) -> Record:
    """Train a teacher detector in place, as a stage that all variants of a study share.

    Parameters
    ----------
    teacher
        A `Detector`.
    data
        Images of the student.
    training
        Length, batches and optimiser of the teacher.
    session
        Where the student's stages are run.
    source
        Images of the teacher's own, as after --data; empty: the student's training part.

    Raises
    ------
    UsageError
        For images that do not fit the student's, see `images_of_teacher`.
    """
    images = images_of_teacher(source, data) if source else data.train
    return train_on_boxes(teacher, images, training, session.shared(), data.seed, "teacher", fraction=0.5)


def images_of_teacher(source: str, data: Split[DetectionSet]) -> DetectionSet:
    """The training part of other images with boxes, or all of them, standardised as the student's images are.

    Raises
    ------
    UsageError
        For other classes or channels than those of the data, or pictures of its validation or test part.
    """
    images, own = load_boxed(source), data.train
    if images.classes != own.classes:
        raise UsageError(
            f"--teacher-data {source}: expected the classes of the data in their order, {', '.join(own.classes)}; "
            f"found {', '.join(images.classes)}"
        )
    if images.channels != own.channels:
        raise UsageError(
            f"--teacher-data {source}: expected {own.channels} channels as in the data, found {images.channels}; add "
            ",grey=1 to both"
        )
    if images.parts:
        images = images[torch.tensor([part == "train" for part in images.parts]).nonzero()[:, 0]]
    images = dataclasses.replace(images, scale=data.scale)
    held = _pictures(data.valid) | _pictures(data.test)
    if shared := len(_pictures(images) & held):
        raise UsageError(
            f"--teacher-data {source}: {shared} of the pictures are in the validation or test part of the data; leave "
            "them out"
        )
    return images


def _pictures(images: DetectionSet) -> set[bytes]:
    """Digests of all images."""
    rows = torch.arange(len(images)).split(64)
    return (
        {hashlib.sha256(image.numpy()).digest() for part in rows for image in images.pixels(part)}
        if len(images)
        else set()
    )


def as_rows(found: Detections) -> Tensor:
    """Detections as one tensor (b, n, 6): box, score, class."""
    return torch.cat([found.boxes, found.scores[..., None], found.labels[..., None].to(found.boxes)], 2)


@torch.no_grad()
def detection_metrics(detector: Any, images: DetectionSet, batch_size: int = 64) -> dict[str, float]:
    """COCO's ap, ap50 and ap75 of a detector in eval mode."""
    was_training = detector.training
    detector.eval()
    device = next(detector.parameters()).device
    found = []
    for rows in torch.arange(len(images)).split(batch_size):
        answer = detector.detect(images.pixels(rows).to(device))
        found += [
            _objects(*(x.cpu() for x in row)) for row in zip(answer.boxes, answer.labels, answer.scores, strict=True)
        ]
    detector.train(was_training)
    true = [_objects(boxes, labels) for boxes, labels in zip(images.boxes, images.labels, strict=True)]
    return coco_metrics(found, true, len(images.classes))


def _objects(boxes: Tensor, labels: Tensor, scores: Tensor | None = None) -> Objects:
    real = labels >= 0
    return Objects(
        boxes[real].numpy().astype(np.float64),
        labels[real].numpy(),
        None if scores is None else scores[real].numpy().astype(np.float64),
    )
