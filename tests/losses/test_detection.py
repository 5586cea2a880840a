"""Losses of detectors against plain restatements."""

from __future__ import annotations

import math

import pytest
import torch

from mulde.losses.detection import (
    bounded_regression,
    focal,
    focal_kl,
    giou_loss,
    iou,
    weighted_soft_cross_entropy,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_focal() -> None:
    logits, targets = torch.tensor([[1.5, -2.0], [0.3, 4.0]], dtype=torch.float64), torch.tensor([[1.0, 0], [0, 1]])
    found = focal(logits, targets.double())
    for i in range(2):
        for j in range(2):
            p = sigmoid(logits[i, j].item())
            expected = 0.25 * (1 - p) ** 2 * -math.log(p) if targets[i, j] else 0.75 * p**2 * -math.log(1 - p)
            assert found[i, j].item() == pytest.approx(expected, rel=1e-9)


def test_iou_and_giou_by_hand() -> None:
    own = torch.tensor([[0.0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 4, 4], [3, 3, 1, 1]])
    target = torch.tensor([[0.0, 0, 4, 4], [4, 0, 6, 2], [2, 2, 6, 6], [0, 0, 4, 4]])
    assert iou(own, target).tolist() == pytest.approx([1, 0, 4 / 28, 0])
    # The second pair: union 8, hull 12. The third: union 28, hull 36. The last box is turned inside out.
    assert giou_loss(own, target).tolist() == pytest.approx([0, 1 + 4 / 12, 1 - 4 / 28 + 8 / 36, 1])


def test_giou_pulls_distant_boxes_together() -> None:
    own = torch.tensor([[0.0, 0, 2, 2]], requires_grad=True)
    giou_loss(own, torch.tensor([[8.0, 0, 10, 2]])).sum().backward()
    assert own.grad is not None and own.grad[0, 2] < 0  # moving the right side to the right reduces the loss


def test_bounded_regression_is_exactly_zero_below_the_bound() -> None:
    target = torch.zeros(3, 4)
    teacher = torch.tensor([[0.3, 0, 0, 0]] * 3)  # squared error 0.09
    own = torch.tensor([[0.2, 0, 0, 0], [0.29, 0, 0, 0], [0.4, 0.1, 0, 0]], requires_grad=True)
    found = bounded_regression(own, teacher, target)
    assert found.tolist() == pytest.approx([0, 0, 0.17])
    found.sum().backward()
    assert own.grad is not None and own.grad[:2].count_nonzero() == 0 and own.grad[2, 0] == pytest.approx(0.8)
    # With a margin the student has to be better than the teacher by as much: 0.0841 + 0.01 > 0.09 > 0.04 + 0.01.
    assert bounded_regression(own, teacher, target, 0.01).tolist() == pytest.approx([0, 0.0841, 0.17])


def test_class_weight_of_the_soft_term() -> None:
    random = torch.Generator().manual_seed(0)
    teacher, own = torch.randn(2, 5, 3, generator=random, dtype=torch.float64)
    weights = torch.tensor([1.5, 1, 1], dtype=torch.float64)
    found = weighted_soft_cross_entropy(teacher, own, weights)
    for i in range(5):
        p, q = (x[i].exp() / x[i].exp().sum() for x in (teacher, own))
        expected = -sum((weights[c] * p[c] * q[c].log()).item() for c in range(3))
        assert found[i].item() == pytest.approx(expected, rel=1e-12)


def test_a_larger_background_weight_adds_gradient_on_background_mass_only() -> None:
    teacher = torch.tensor([[-60.0, 1, 2], [3.0, 0, 0]], dtype=torch.float64)  # no background, some background

    def gradient(background: float) -> torch.Tensor:
        own = torch.tensor([[0.5, 0.1, -0.2], [0.4, 0.3, 0]], dtype=torch.float64, requires_grad=True)
        weights = torch.tensor([background, 1, 1], dtype=torch.float64)
        weighted_soft_cross_entropy(teacher, own, weights).sum().backward()
        assert own.grad is not None
        return own.grad

    difference = gradient(3.0) - gradient(1.0)
    assert difference[0].abs().max() < 1e-20
    assert difference[1, 0] < 0 < difference[1, 1]  # towards the background, away from the others


def test_focal_kl() -> None:
    teacher, own = torch.tensor([[2.0, -1, 0.4]]).double(), torch.tensor([[0.5, -3, 0.4]]).double()
    own.requires_grad_()
    found = focal_kl(teacher, own)
    for t, o, value in zip(teacher[0].tolist(), own[0].tolist(), found[0].tolist(), strict=True):
        p, q = sigmoid(t), sigmoid(o)
        expected = ((p - q) ** 2 + 1e-6) ** 0.25 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-15)
    found.sum().backward()
    assert own.grad is not None and own.grad.isfinite().all() and abs(own.grad[0, 2]) < 1e-15
    extreme = focal_kl(torch.tensor([200.0, -200.0]), torch.tensor([-200.0, 200.0]))
    assert extreme.isfinite().all()
