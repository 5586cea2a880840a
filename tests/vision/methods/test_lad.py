"""LAD and SoLAD: the costs that assign the anchors, and their effect."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine.protocol import Setup
from mulde.losses.detection import giou_loss, iou
from mulde.vision.methods import lad
from mulde.vision.methods.lad import LAD, Config
from mulde.vision.models.one_stage import AnchorDetector, DetectorShape, anchored_losses, assigned
from mulde.vision.training.detection import train_on_boxes
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "cnn-4-6-8",
    "teacher": "cnn-6-8-10",
    "shape": DetectorShape(width=8, anchor_scale=3.0, stages=2, extra=0, tower=1),
    "training": Training(2, 12, "none", OptimizerSteps("adam", 2e-3)),
}
SOFT = {"soft_class_weight": 2.0, "soft_iou_weight": 10.0, "soft_box_weight": 1.3}


def made(**changes: Any) -> LAD:
    return toys.built(lad, Config(**{**SMALL, **changes}), toys.boxed_split())[0]


def losses(method: LAD, batch: BoxBatch | None = None) -> dict[str, Tensor]:
    return method.losses(batch or toys.boxed_batch(), toys.BEGINNING)


def test_the_student_learns_from_the_anchors_that_the_teacher_chooses() -> None:
    method, batch = made(), toys.boxed_batch()
    method.eval()
    own, theirs = method.student(batch.images), method.teacher(batch.images)
    by_teacher, by_student = (assigned(found, batch.boxes, batch.labels) for found in (theirs, own))
    assert (by_teacher >= 0).any() and not torch.equal(by_teacher, by_student)
    for labels, assignment in (("teacher", by_teacher), ("own", by_student)):
        method.config = dataclasses.replace(method.config, labels=labels)
        expected = anchored_losses(own, assignment, batch.boxes, batch.labels)
        found = losses(method)
        assert {term.removeprefix("student/") for term in found} == expected.keys()
        for term, value in expected.items():
            torch.testing.assert_close(found[f"student/{term}"], value)


def test_anchored_losses_by_hand() -> None:
    method, batch = made(), toys.boxed_batch()
    answer = method.student(batch.images)
    assignment = assigned(answer, batch.boxes, batch.labels)
    found = anchored_losses(answer, assignment, batch.boxes, batch.labels)
    kinds = box = branch = 0.0
    count = int((assignment >= 0).sum())
    for image in range(len(batch)):
        for anchor in range(assignment.shape[1]):
            place = int(assignment[image, anchor])
            for k, logit in enumerate(answer.logits[image, anchor].double()):
                true = place >= 0 and k == int(batch.labels[image, place])
                p = logit.sigmoid() if true else 1 - logit.sigmoid()
                kinds += (-(0.25 if true else 0.75) * (1 - p) ** 2 * p.log()).item()
            if place >= 0:
                own, truth = answer.boxes[image, anchor].double(), batch.boxes[image, place].double()
                overlap = iou(own, truth)
                low, high = torch.minimum(own[:2], truth[:2]), torch.maximum(own[2:], truth[2:])
                union = ((own[2:] - own[:2]).prod() + (truth[2:] - truth[:2]).prod()) / (1 + overlap)
                hull = (high - low).prod()
                box += (1 - overlap + (hull - union) / hull).item()
                q = answer.overlaps[image, anchor].double().sigmoid()
                branch -= (overlap * q.log() + (1 - overlap) * (1 - q).log()).item()
    assert count > len(batch)
    assert found["class"].item() == pytest.approx(kinds / count, rel=1e-5)
    assert found["box"].item() == pytest.approx(1.3 * box / count, rel=1e-5)
    assert found["iou"].item() == pytest.approx(0.5 * branch / count, rel=1e-5)


def test_the_teacher_gets_no_gradient() -> None:
    method = made(**SOFT)
    method.train()
    torch.stack(list(losses(method).values())).sum().backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert any(parameter.grad is not None for parameter in method.student.parameters())


def test_own_labels_are_plain_training_bit_for_bit() -> None:
    split, config = toys.boxed_split(), Config(labels="own", **SMALL)
    method, feed = toys.built(lad, config, split)
    baseline = made().student
    Session().fit(Setup(method, feed), config)
    train_on_boxes(baseline, split.train, config.training, Session(), split.seed, "baseline")
    assert all(map(torch.equal, method.student.state_dict().values(), baseline.state_dict().values()))


def test_soft_terms_and_their_region() -> None:
    method, batch = made(**SOFT), toys.boxed_batch()
    method.eval()
    found = losses(method)
    plain = losses(made())
    assert found.keys() - plain.keys() == {"student/soft_class", "student/soft_iou", "student/soft_box"}
    twin = LAD(method.student, made().teacher, method.config)
    same = LAD(method.student, _copy(method.student), method.config)
    assert losses(same)["student/soft_class"] == 0  # equal student and teacher: no loss
    # A teacher whose boxes are all elsewhere has no region: its boxes and IoUs are not distilled.
    with torch.no_grad():
        twin.teacher.box_out.bias.fill_(30.0)
    lost = losses(twin, batch)
    assert lost["student/soft_box"] == 0 and lost["student/soft_iou"] == 0 and lost["student/soft_class"] > 0


def test_soft_terms_by_a_plain_loop() -> None:
    """Weights, regions and the divisor of the authors' code; the object of a box is any of its image."""
    method, batch = made(**SOFT), toys.boxed_batch()
    method.eval()
    with torch.no_grad():  # boxes of the teacher that overlap objects by more and by less than a half
        own, theirs = method.student(batch.images), method.teacher(batch.images)
        objects = batch.boxes[:, :1].expand_as(theirs.boxes)
        moved = torch.linspace(-1, 1, theirs.boxes.shape[1])[None, :, None] * (objects[..., 2:] - objects[..., :2])
        theirs = theirs._replace(boxes=objects + torch.cat([moved, moved], 2))
    many = kinds = branch = boxes = 0.0
    for image in range(len(batch)):
        real = batch.boxes[image][batch.labels[image] >= 0]
        for anchor in range(theirs.boxes.shape[1]):
            for t, s in zip(theirs.logits[image, anchor], own.logits[image, anchor], strict=True):
                kinds += _focal_kl(t.item(), s.item())
            overlap = max((iou(theirs.boxes[image, anchor], box).item() for box in real), default=0.0)
            if overlap > 0.5:
                many += overlap
                branch += _focal_kl(theirs.overlaps[image, anchor].item(), own.overlaps[image, anchor].item())
                boxes += overlap * giou_loss(own.boxes[image, anchor], theirs.boxes[image, anchor]).item()
    assert many > 1
    found = method._soft(own, theirs, batch)
    assert found["soft_class"].item() == pytest.approx(2 * kinds / many, rel=1e-4)
    assert found["soft_iou"].item() == pytest.approx(10 * branch / many, rel=1e-4)
    assert found["soft_box"].item() == pytest.approx(1.3 * boxes / many, rel=1e-4)


def _focal_kl(teacher: float, own: float) -> float:
    p, q = (1 / (1 + math.exp(-x)) for x in (teacher, own))
    return ((p - q) ** 2 + 1e-6) ** 0.25 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def _copy(student: AnchorDetector) -> AnchorDetector:
    teacher = toys.built(lad, Config(**{**SMALL, "teacher": SMALL["student"]}), toys.boxed_split())[0].teacher
    teacher.load_state_dict(student.state_dict())
    return teacher


@pytest.mark.parametrize("changes", [{}, SOFT, {"labels": "own"}])
def test_images_without_objects_teach_that_there_is_nothing(changes: dict[str, Any]) -> None:
    batch = toys.boxed_batch()
    empty = dataclasses.replace(batch, labels=torch.full_like(batch.labels, -1))
    method = made(**changes)
    found = losses(method, empty)
    assert found["student/box"] == 0 and found["student/iou"] == 0 and found["student/class"] > 0
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in method.student.parameters() if p.grad is not None)


def test_the_papers_pyramid_has_strides_8_to_128_and_an_anchor_for_small_objects() -> None:
    config = Config(student="imagenet-resnet18", teacher="imagenet-resnet18", shape=DetectorShape(width=8))
    student = toys.built(lad, config, toys.boxed_split())[0].student.eval()
    with torch.no_grad():
        answer = student(torch.randn(1, 1, 256, 256))
    assert [tuple(x.shape[2:]) for x in answer.maps] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]
    sides = answer.anchors[:, 2] - answer.anchors[:, 0]
    assert torch.equal(sides, 64 * 2.0**answer.levels)
    assert len(student.scales) == 5 and sum(isinstance(x, nn.Conv2d) for x in student.box_tower) == 4
    small = torch.tensor([[[100.0, 60, 112, 72]]])
    assert (assigned(answer, small, torch.zeros(1, 1, dtype=torch.int64)) >= 0).any()


def test_the_papers_case_says_how_much_memory_its_images_take() -> None:
    assert lad.STUDY.paper().notes == (
        "The paper's values for COCO in 12 epochs; our trunks begin untrained. All images are held in "
        "memory: at 800 pixels COCO takes 480 GB, at size=256 it takes 50."
    )


def test_detectors_with_other_anchors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different anchors \(\d+ and \d+\); take trunks with as many stages"):
        losses(made(teacher="cnn-4-6-8-10"))
    with pytest.raises(ValueError, match="reads the last 2 stages; the trunk has 1"):
        made(student="cnn-4")
