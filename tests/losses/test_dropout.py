"""The loss between two dropout samples against numpy, and which arguments of its KLs have gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mulde.losses.dropout import dropout_distillation
from tests.losses.restated import drawn, kl, softmax

FEATURES, WEIGHT = drawn(5, 7, seed=1), drawn(4, 7, seed=2)


def loss(features: Tensor = FEATURES, weight: Tensor = WEIGHT, **options: float) -> Tensor:
    """The loss with the same masks in every call."""
    torch.manual_seed(3)
    return dropout_distillation(features, lambda found: found @ weight.T, **options)  # type: ignore[arg-type]


def masks(rate: float) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    ones = torch.ones_like(FEATURES)
    return functional.dropout(ones, rate), functional.dropout(ones, rate)


@pytest.mark.parametrize("detach", [False, True])
def test_equals_numpy(detach: bool) -> None:
    p, q = (softmax((mask * FEATURES @ WEIGHT.T).numpy() / 2.5) for mask in masks(0.4))
    both = [kl(a, b) + kl(b, a) for a, b in zip(p, q, strict=True)]
    found = loss(rate=0.4, temperature=2.5, detach=detach).item()
    assert found == pytest.approx(2.5**2 * np.mean(both), rel=1e-9) and found > 0.1


def test_without_dropout_it_is_zero() -> None:
    assert loss(rate=0.0).item() == 0.0


def test_kept_entries_are_scaled() -> None:
    assert set(masks(0.5)[0].unique().tolist()) == {0.0, 2.0}


def test_gradient_of_the_whole_formula_without_detach() -> None:
    small = [x[:3, :4].clone().requires_grad_() for x in (FEATURES, WEIGHT)]
    assert torch.autograd.gradcheck(lambda x, w: loss(x, w), small)


def test_a_detached_target_is_the_first_argument() -> None:
    """The gradient is that of cross entropies with fixed targets, which is another than that of the formula."""
    features = FEATURES.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(features, detach=True), features)
    first, second = (mask * features @ WEIGHT.T / 3 for mask in masks(0.5))
    fixed = [x.detach().softmax(1) for x in (first, second)]
    crossed = -(fixed[0] * second.log_softmax(1) + fixed[1] * first.log_softmax(1)).sum(1).mean()
    (expected,) = torch.autograd.grad(9 * crossed, features)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    (both,) = torch.autograd.grad(loss(features), features)
    assert not torch.allclose(both, found, rtol=1e-3)
