"""Chen17: terms against an independent evaluation, the regions of the teacher, and the export."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.engine.protocol import Setup
from mulde.vision.methods import chen17
from mulde.vision.methods.chen17 import BASELINE, Chen17, Config
from mulde.vision.models.two_stage import of_class
from mulde.vision.training.detection import train_on_boxes
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session
from tests.vision import toys

SMALL: dict[str, Any] = {
    "student": "cnn-4-6-8",
    "teacher": "cnn-6-8-10",
    "width": 8,
    "hidden": 12,
    "teacher_width": 8,
    "teacher_hidden": 12,
    "sides": (5.0, 9.0),
    "bins": 3,
    "drawn_anchors": 16,
    "drawn_regions": 12,
    "before": 40,
    "proposals": 16,
    "training": Training(2, 12, "none", OptimizerSteps("adam", 2e-3)),
}


def made(**changes: Any) -> Chen17:
    return toys.built(chen17, Config(**{**SMALL, **changes}), toys.boxed_split())[0]


def losses(method: Chen17, batch: BoxBatch | None = None) -> dict[str, Tensor]:
    torch.manual_seed(5)  # of the minibatches
    return method.losses(batch or toys.boxed_batch(), toys.BEGINNING)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def restated(
    logits: np.ndarray, offsets: np.ndarray, their: tuple[np.ndarray, np.ndarray], targets: Any, margin: float
) -> dict[str, float]:
    """The four terms of a stage, element by element."""
    p, q = softmax(logits), softmax(their[0])
    count, sums = 0, {"hard": 0.0, "soft": 0.0, "box": 0.0, "bounded": 0.0}
    for image, n in np.argwhere(targets.drawn):
        label, target = targets.labels[image, n], targets.offsets[image, n]
        count += 1
        sums["hard"] -= np.log(p[image, n, label])
        sums["soft"] -= sum((1.5 if c == 0 else 1) * q[image, n, c] * np.log(p[image, n, c]) for c in range(p.shape[2]))
        if label > 0:
            error = offsets[image, n] - target
            sums["box"] += sum(0.5 * e**2 if abs(e) < 1 else abs(e) - 0.5 for e in error)
            own, bound = (error**2).sum(), ((their[1][image, n] - target) ** 2).sum()
            sums["bounded"] += own if own + margin > bound else 0
    weights = {"hard": 0.6, "soft": 0.4, "box": 2.0, "bounded": 2.0 * 0.7}
    return {term: weights[term] * value / count for term, value in sums.items()}


def test_terms_against_an_independent_evaluation() -> None:
    settings = {"hard_weight": 0.6, "box_weight": 2.0, "bounded_weight": 0.7, "margin": 0.05, "hint_weight": 0.3}
    method, batch = made(**settings), toys.boxed_batch()
    method.eval()
    found = losses(method)
    torch.manual_seed(5)
    student, teacher, image = method.student, method.teacher, batch.images.shape[2:]
    with torch.no_grad():
        own, theirs = student(batch.images), teacher(batch.images)
        anchors = student.anchor_targets(own.anchors, batch.boxes, batch.labels)
        regions, targets = student.region_targets(*student.propose(own, image), batch.boxes, batch.labels)
        found_own, classified = (d.classify(x.features, regions, image) for d, x in ((student, own), (teacher, theirs)))
        arrays = {
            "rpn": (own.logits, own.offsets, (theirs.logits, theirs.offsets), anchors),
            "rcn": (
                found_own.logits,
                of_class(found_own.offsets, targets.labels),
                (classified.logits, of_class(classified.offsets, targets.labels)),
                targets,
            ),
        }
        expected = {"student/hint": 0.3 * (method.adapter(own.features) - theirs.features).square().mean().item()}
    for stage, (logits, offsets, their, truth) in arrays.items():
        plain = type(truth)(*(x.numpy() for x in truth))
        their_arrays = (their[0].double().numpy(), their[1].double().numpy())
        terms = restated(logits.double().numpy(), offsets.double().numpy(), their_arrays, plain, 0.05)
        assert terms["bounded"] < 2 * 0.7 * 1e9 and plain.labels[plain.drawn].any()
        expected |= {f"student/{stage}_{term}": value for term, value in terms.items()}
    assert found.keys() == expected.keys()
    assert {k: v.item() for k, v in found.items()} == pytest.approx(expected, rel=2e-5)


def test_the_teacher_evaluates_the_regions_of_the_student(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = made(), toys.boxed_batch()
    classified: list[tuple[Tensor, Tensor]] = []
    for detector in (method.student, method.teacher):
        original = detector.classify

        def watching(features: Tensor, boxes: Tensor, image: Any, original: Any = original) -> Any:
            answer = original(features, boxes, image)
            classified.append((boxes, answer.logits.detach()))
            return answer

        monkeypatch.setattr(detector, "classify", watching)
    monkeypatch.setattr(method.teacher, "propose", lambda *_: pytest.fail("the teacher's proposals were computed"))
    losses(method)
    (own_regions, _), (regions, before) = classified
    assert torch.equal(own_regions, regions)
    with torch.no_grad():  # move the student's proposals: the teacher classifies other boxes
        method.student.rpn_box.bias += 0.5
    classified.clear()
    losses(method, batch)
    assert not torch.equal(classified[1][0], regions) and not torch.equal(classified[1][1], before)


def test_minibatches_are_what_they_should_be() -> None:
    method, batch = made(), toys.boxed_batch()
    student, image = method.student, batch.images.shape[2:]
    own = student(batch.images)
    anchors = student.anchor_targets(own.anchors, batch.boxes, batch.labels)
    assert (anchors.drawn.sum(1) == 16).all() and ((anchors.labels > 0) & anchors.drawn).sum(1).max() <= 8
    objects = (batch.labels >= 0).any(1)
    assert torch.equal((anchors.labels > 0).any(1), objects)  # the best anchor of an object is positive in any study
    regions, targets = student.region_targets(*student.propose(own, image), batch.boxes, batch.labels)
    assert regions.shape == (12, 12, 4) and ((targets.labels > 0) & targets.drawn).sum(1).max() <= 3
    assert torch.equal((targets.labels > 0).any(1), objects)  # true boxes are among the regions
    true = torch.where(batch.labels[objects, 0] >= 0, batch.labels[objects, 0] + 1, 0)
    assert set(targets.labels[targets.labels > 0].tolist()) <= set((batch.labels[batch.labels >= 0] + 1).tolist())
    assert len(true) and targets.offsets[targets.labels == 0].abs().max() < 1e-6


def test_alone_it_is_plain_training_bit_for_bit() -> None:
    split, config = toys.boxed_split(), Config(**{**SMALL, **BASELINE})
    method, feed = toys.built(chen17, config, split)
    baseline = made().student
    Session().fit(Setup(method, feed), config)
    train_on_boxes(baseline, split.train, config.training, Session(), split.seed, "baseline")
    assert all(map(torch.equal, method.student.state_dict().values(), baseline.state_dict().values()))
    assert (
        not config.uses_teacher
        and not Config(**{**SMALL, **BASELINE, "bounded_weight": 1.0, "bounded": False}).uses_teacher
    )


def test_the_adaptation_layer_learns_and_stays_behind() -> None:
    method = made()
    assert method.adapter.weight.shape == (10, 8, 1, 1)
    losses(method)["student/hint"].backward()
    assert method.adapter.weight.grad is not None and method.adapter.weight.grad.count_nonzero() > 0
    exported = method.exported()["student"]
    assert not [key for key in exported.state_dict() if "adapter" in key]
    assert exported.state_dict().keys() == made(**BASELINE).student.state_dict().keys()
    assert isinstance(made(hint_weight=0.0).adapter, torch.nn.Identity)


def test_plain_l2_pushes_where_the_bound_does_not() -> None:
    # A teacher that is always further off has no effect on the student; without the bound it has one.
    with torch.no_grad():
        bounded, plain = made(hard_weight=1.0, hint_weight=0.0), made(hard_weight=1.0, hint_weight=0.0, bounded=False)
        for method in (bounded, plain):
            method.teacher.rpn_box.bias.fill_(50.0)
            method.teacher.rcn_box.bias.fill_(50.0)
    with_bound, without = losses(bounded), losses(plain)
    for stage in ("rpn", "rcn"):
        assert with_bound[f"student/{stage}_bounded"] == 0 < without[f"student/{stage}_bounded"]


@pytest.mark.parametrize("changes", [{}, BASELINE])
def test_images_without_objects(changes: dict[str, Any]) -> None:
    batch = toys.boxed_batch()
    empty = dataclasses.replace(batch, labels=torch.full_like(batch.labels, -1))
    method = made(**changes)
    found = losses(method, empty)
    assert found["student/rpn_box"] == 0 == found["student/rcn_box"] and found["student/rpn_hard"] > 0
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in method.student.parameters() if p.grad is not None)


def test_a_teacher_with_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="have 18 and 72 anchors; soft labels need the same ones"):
        losses(made(teacher="cnn-4-6-8-10"))
