"""The soft loss against numpy: temperature, smoothing, invariances, and gradients of both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.testing import assert_close

from mulde.losses.soft_labels import soft_kl


def drawn(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    exponential = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(-1, keepdims=True))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("smoothing", [0.0, 1e-7, 1e-2])
def test_equals_numpy(temperature: float, smoothing: float) -> None:
    target, scores = drawn(6, 9, seed=1), drawn(6, 9, seed=2)
    p = softmax(target.numpy() / temperature) + smoothing
    q = softmax(scores.numpy() / temperature)
    expected = temperature**2 * float((p * np.log(p / q)).sum(-1).mean())
    assert_close(soft_kl(target, scores, temperature, smoothing).item(), expected, rtol=1e-11, atol=0)


def test_zero_when_equal_and_positive_otherwise() -> None:
    target, scores = drawn(6, 9, seed=1), drawn(6, 9, seed=2)
    assert soft_kl(target, target).item() == 0
    assert soft_kl(target, target + 7.0).item() == pytest.approx(0, abs=1e-14)  # only differences count
    assert soft_kl(target, scores).item() > 0.1
    assert soft_kl(target, scores).item() != pytest.approx(soft_kl(scores, target).item(), rel=1e-3)


def test_candidates_and_queries_have_no_order() -> None:
    target, scores = drawn(6, 9, seed=1), drawn(6, 9, seed=2)
    columns = torch.tensor([4, 5, 3, 8, 1, 2, 7, 6, 0])
    assert_close(soft_kl(target[:, columns], scores[:, columns]), soft_kl(target, scores), rtol=1e-13, atol=0)
    assert_close(soft_kl(target.flip(0), scores.flip(0)), soft_kl(target, scores), rtol=1e-13, atol=0)


def test_sum_over_candidates_and_mean_over_queries() -> None:
    target, scores = drawn(6, 9, seed=1), drawn(6, 9, seed=2)
    rows = [soft_kl(target[i : i + 1], scores[i : i + 1]) for i in range(6)]
    assert_close(soft_kl(target, scores), torch.stack(rows).mean(), rtol=1e-13, atol=0)


def test_temperature_squared_keeps_the_gradient() -> None:
    """The loss of the softened logits times T²; at high T its gradient is (z_J - z_S, centred)/(bc)."""
    target, scores = drawn(6, 9, seed=1), drawn(6, 9, seed=2)
    assert_close(soft_kl(target, scores, 4.0), 16 * soft_kl(target / 4, scores / 4), rtol=1e-12, atol=0)
    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(soft_kl(target, leaf, 1e6), leaf)
    difference = scores - target
    expected = (difference - difference.mean(1, keepdim=True)) / (6 * 9)
    assert_close(gradient, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("count", [10, 500])
def test_smoothing_of_a_uniform_distribution(count: int) -> None:
    """(1 + Ks) log(1 + Ks), 5e-5 at K = 500."""
    scores = torch.zeros(3, count, dtype=torch.float64)
    mass = count * 1e-7
    assert_close(soft_kl(scores, scores, smoothing=1e-7).item(), (1 + mass) * math.log1p(mass), rtol=1e-8, atol=0)
    if count == 500:
        assert soft_kl(scores, scores, smoothing=1e-7).item() == pytest.approx(5e-5, rel=1e-3)


@pytest.mark.parametrize("peak", [5.0, 10.0, 15.0, 20.0])
def test_smoothing_of_a_peaked_distribution(peak: float) -> None:
    """No less than for the uniform one, and below 2.4e-4 for peaks of float32 softmax and above."""
    scores = torch.zeros(3, 500, dtype=torch.float64)
    scores[:, 17] = peak
    value = soft_kl(scores, scores, smoothing=1e-7).item()
    p = softmax(scores.numpy())
    assert value == pytest.approx(float(((p + 1e-7) * np.log1p(1e-7 / p)).sum(-1).mean()), rel=1e-6)
    assert 4.9e-5 < value < 2.4e-4


def test_both_sides_carry_gradient() -> None:
    """Nothing is detached; the method decides which side learns."""
    target, scores = drawn(3, 4, seed=1).requires_grad_(), drawn(3, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, s: soft_kl(t, s, 2.0, 1e-7), (target, scores))
    assert torch.autograd.gradcheck(lambda t, s: soft_kl(t, s, 0.5), (target, scores))


@pytest.mark.parametrize("smoothing", [0.0, 1e-7])
def test_extreme_scores_stay_finite(smoothing: float) -> None:
    target = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    scores = torch.tensor([[-1e4, 0.0, 1e4]], requires_grad=True)
    value = soft_kl(target, scores, smoothing=smoothing)
    gradients = torch.autograd.grad(value, (target, scores))
    assert torch.isfinite(value) and all(torch.isfinite(gradient).all() for gradient in gradients)
