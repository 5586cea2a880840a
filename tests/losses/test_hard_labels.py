"""Hard-label losses against numpy, and their invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.testing import assert_close

from mulde.losses.hard_labels import binary, binary_first_true, cross_entropy_first_true, focal
from tests.losses import restated


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return 5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cross_entropy_of_sigmoid(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """-y log σ(s) - (1 - y) log(1 - σ(s)), the mean over all slots; from the definition."""
    probability = 1 / (1 + np.exp(-scores))
    return float(-(labels * np.log(probability) + (1 - labels) * np.log(1 - probability)).mean())


def test_binary_equals_numpy() -> None:
    scores = drawn(6, 9)
    labels = torch.rand(6, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = cross_entropy_of_sigmoid(scores.numpy(), labels.numpy())
    assert_close(binary(scores, labels).item(), expected, rtol=1e-10, atol=0)
    true = labels > 0.5  # truth values are labels too
    assert_close(binary(scores, true), binary(scores, true.double()))


def test_slots_left_out_are_as_if_they_were_not_there() -> None:
    scores, draw = drawn(6, 9), torch.Generator().manual_seed(1)
    labels, left_out = (torch.rand(6, 9, generator=draw) > fraction for fraction in (0.5, 0.7))
    found = binary(scores, labels, left_out)
    kept = ~left_out
    assert 0 < kept.sum() < kept.numel()
    expected = cross_entropy_of_sigmoid(scores[kept].numpy(), labels[kept].double().numpy())
    assert_close(found.item(), expected, rtol=1e-10, atol=0)
    assert_close(binary(scores, labels, torch.zeros_like(left_out)), binary(scores, labels), rtol=1e-13, atol=0)
    assert binary(scores, labels, torch.ones_like(left_out)).item() == 0


def test_binary_first_true_is_binary_with_the_first_column_true() -> None:
    scores = drawn(6, 9)
    labels = np.zeros((6, 9))
    labels[:, 0] = 1
    found = binary_first_true(scores)
    assert_close(found.item(), cross_entropy_of_sigmoid(scores.numpy(), labels), rtol=1e-12, atol=0)
    assert_close(found, binary(scores, torch.from_numpy(labels)), rtol=1e-12, atol=0)


def test_cross_entropy_equals_numpy() -> None:
    scores = drawn(6, 9)
    exponential = np.exp(scores.numpy())
    expected = float(-np.log(exponential[:, 0] / exponential.sum(1)).mean())
    assert_close(cross_entropy_first_true(scores).item(), expected, rtol=1e-12, atol=0)


def test_negatives_and_queries_have_no_order() -> None:
    scores = drawn(6, 9)
    negatives, rows = torch.tensor([0, 5, 3, 8, 1, 2, 7, 6, 4]), torch.tensor([3, 1, 5, 0, 2, 4])
    for loss in (binary_first_true, cross_entropy_first_true):
        assert_close(loss(scores[rows][:, negatives]), loss(scores), rtol=1e-13, atol=0)
        assert not torch.isclose(loss(scores.flip(1)), loss(scores))  # but the first column is special


def test_a_common_shift_matters_to_binary_alone() -> None:
    scores, shift = drawn(6, 9), drawn(6, 1, seed=2)
    assert_close(cross_entropy_first_true(scores + shift), cross_entropy_first_true(scores), rtol=1e-12, atol=0)
    assert not torch.isclose(binary_first_true(scores + shift), binary_first_true(scores))


def test_one_positive_weighs_as_much_as_one_negative() -> None:
    """The reduction on which the weight of other terms depends: derivative ∓1/(2bc) at zero scores."""
    scores = torch.zeros(4, 256, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(binary_first_true(scores), scores)
    assert_close(gradient[:, 0], torch.full((4,), -0.5 / (4 * 256), dtype=torch.float64))
    assert_close(gradient[:, 1:], torch.full((4, 255), 0.5 / (4 * 256), dtype=torch.float64))


def test_extreme_scores_stay_finite() -> None:
    scores = torch.tensor([[-1e4, 1e4, -1e4]], requires_grad=True)
    for loss in (binary_first_true, cross_entropy_first_true):
        value = loss(scores)
        (gradient,) = torch.autograd.grad(value, scores)
        assert torch.isfinite(value) and torch.isfinite(gradient).all()


@pytest.mark.parametrize(("gamma", "share", "confident"), [(2.0, 0.0, 3.0), (1.5, 0.3, 3.0), (0.5, 1.0, 2.0)])
def test_cyclical_focal_loss(gamma: float, share: float, confident: float) -> None:
    logits, labels = restated.drawn(6, 5, seed=4), torch.tensor([0, 4, 2, 2, 1, 3])
    p = restated.softmax(logits.numpy())[range(6), labels]
    rows = -(share * (1 + p) ** confident + (1 - share) * (1 - p) ** gamma) * np.log(p)
    assert focal(logits, labels, gamma, share, confident).item() == pytest.approx(rows.mean(), rel=1e-9)


def test_focal_loss_without_gamma_is_cross_entropy_and_a_sure_image_has_a_gradient() -> None:
    logits, labels = restated.drawn(6, 5, seed=4), torch.tensor([0, 4, 2, 2, 1, 3])
    assert focal(logits, labels, 0.0).item() == pytest.approx(
        functional.cross_entropy(logits, labels).item(), rel=1e-12
    )
    sure = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    focal(sure, labels[:1], 0.5).backward()
    assert sure.grad is not None and sure.grad.isfinite().all()
