"""The Senior: values of MulDE's code, the attention, and the ranking."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mulde.kge.teachers.senior import SMOOTHING, Senior, SeniorRanker, contrast_attention
from mulde.losses.soft_labels import soft_kl
from tests.kge import toys

GATE = 1 / (1 + math.exp(-1))


def scores(*shape: int, seed: int) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gates_begin_at_sigmoid_of_one() -> None:
    senior = Senior(num_relations=5, teachers=4)
    gates = senior.gates(torch.arange(10))
    assert gates.shape == (10, 4)
    assert pytest.approx(0.731059, abs=1e-6) == GATE
    assert_close(gates, torch.full((10, 4), GATE))
    assert sum(parameter.numel() for parameter in Senior(237, 4).parameters()) == 1_896  # FB15k-237
    assert sum(parameter.numel() for parameter in Senior(11, 4).parameters()) == 88  # WN18RR


def test_a_relation_has_its_own_gates() -> None:
    senior = Senior(num_relations=2, teachers=3)
    with torch.no_grad():
        senior.weights.copy_(torch.arange(12.0).view(4, 3) / 4)
    assert_close(senior.gates(torch.tensor([3, 0, 3])), senior.weights[[3, 0, 3]].sigmoid())
    given_scores, own, relations = scores(3, 3, 7, seed=1), scores(3, 7, seed=2), torch.tensor([3, 0, 3])
    senior(given_scores, own, relations).sum().backward()
    assert senior.weights.grad is not None
    assert senior.weights.grad.abs().sum(1).gt(0).tolist() == [True, False, False, True]


def test_identical_teachers_share_the_attention() -> None:
    """Weights exactly 1/4, and z_S = 0.731059 times the teacher's scores."""
    one_score, own, relations = scores(5, 7, seed=1), scores(5, 7, seed=2), torch.arange(5)
    given_scores = one_score.expand(4, 5, 7)
    assert torch.equal(contrast_attention(given_scores, own, 1.0), torch.full((5, 4), 0.25, dtype=torch.float64))
    blended = Senior(num_relations=3, teachers=4)(given_scores, own, relations)
    assert_close(blended, torch.tensor(1.0).sigmoid().double() * one_score, rtol=1e-14, atol=0)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("tau", [0.1, 1.0, math.e, 1e6])
def test_attention_equals_its_formula_in_50_digits(tau: float, reverse: bool) -> None:
    """KL(Junior ‖ teacher), and the other way round."""
    mpmath.mp.dps = 50
    given_scores, own = scores(3, 4, 6, seed=1), scores(4, 6, seed=2)
    found = contrast_attention(given_scores, own, tau, reverse)
    assert_close(found.sum(1), torch.ones(4, dtype=torch.float64), rtol=1e-14, atol=0)
    for b in range(4):
        junior = [p + mpmath.mpf(SMOOTHING) for p in softmax(own[b])]
        divergences = [
            sum(
                (q if reverse else p) * (mpmath.log(q / p) if reverse else mpmath.log(p / q))
                for p, q in zip(junior, softmax(given_scores[i, b]), strict=True)
            )
            for i in range(3)
        ]
        weights = [mpmath.exp(-divergence / tau) for divergence in divergences]
        expected = torch.tensor([float(weight / sum(weights)) for weight in weights], dtype=torch.float64)
        assert_close(found[b], expected, rtol=1e-12, atol=1e-15)


def softmax(row: Tensor) -> list[mpmath.mpf]:
    exponential = [mpmath.exp(value) for value in row.tolist()]
    return [value / sum(exponential) for value in exponential]


def test_the_closest_teacher_wins_early_and_all_are_alike_late() -> None:
    own = scores(50, 20, seed=0)
    given_scores = torch.stack([scores(50, 20, seed=1), own + 0.1 * scores(50, 20, seed=2), scores(50, 20, seed=3)])
    early, late = contrast_attention(given_scores, own, 0.01), contrast_attention(given_scores, own, 1e6)
    assert (early[:, 1] > 0.99).all()
    assert_close(late, torch.full((50, 3), 1 / 3, dtype=torch.float64), rtol=0, atol=1e-4)
    assert (contrast_attention(given_scores, own, 1.0).argmax(1) == 1).all()


def test_attention_sees_shapes_only() -> None:
    """A constant added to a teacher's scores changes nothing; a factor does."""
    own, given_scores = scores(5, 7, seed=0), scores(2, 5, 7, seed=1)
    shifted = given_scores + torch.tensor([5.0, -3.0]).view(2, 1, 1)
    assert_close(contrast_attention(shifted, own, 1.0), contrast_attention(given_scores, own, 1.0), rtol=1e-9, atol=0)
    assert not torch.allclose(
        contrast_attention(2 * given_scores, own, 1.0), contrast_attention(given_scores, own, 1.0)
    )


def test_the_direction_of_the_divergence() -> None:
    """KL(Junior ‖ teacher) is large for a teacher that excludes the Junior's answers, small for a broader one."""
    own = torch.tensor([[0.0, 0.0, -20.0]]).double()
    excludes, believes_more = (
        torch.tensor([[0.0, -12.0, -20.0]]).double(),
        torch.tensor([[0.0, 0.0, 0.0]]).double(),
    )
    weights = contrast_attention(torch.stack([excludes, believes_more]), own, 1.0)
    assert weights[0, 1] > 0.95


def test_blend_is_the_weighted_sum_of_gated_scores() -> None:
    senior = Senior(num_relations=3, teachers=2)
    with torch.no_grad():
        senior.weights.copy_(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)))
    given_scores, own, relations = scores(2, 4, 5, seed=1), scores(4, 5, seed=2), torch.tensor([0, 5, 2, 5])
    found = senior(given_scores, own, relations, tau=2.0)
    for b in range(4):
        gated = [torch.sigmoid(senior.weights[relations[b], i]) * given_scores[i, b] for i in range(2)]
        attention = contrast_attention(torch.stack(gated).unsqueeze(1).detach(), own[b : b + 1], 2.0)[0]
        assert_close(found[b], sum(attention[i] * gated[i] for i in range(2)), rtol=1e-12, atol=1e-12)


def test_switches() -> None:
    given_scores, own, relations = scores(3, 4, 5, seed=1), scores(4, 5, seed=2), torch.arange(4)
    plain = Senior(3, 3, scaling=False, attention=False)(given_scores, own, relations)
    assert_close(plain, given_scores.mean(0))
    gated = Senior(3, 3, attention=False)(given_scores, own, relations)
    assert_close(gated, torch.tensor(1.0).sigmoid().double() * given_scores.mean(0))
    attended = Senior(3, 3, scaling=False)(given_scores, own, relations)
    weights = contrast_attention(given_scores, own, 1.0)
    assert_close(attended, torch.einsum("bm,mbc->bc", weights, given_scores))


def test_who_receives_gradient() -> None:
    """Gates get gradients through z_S, not through the divergence; the Junior only if configured."""
    given_scores, relations = scores(3, 4, 5, seed=1), torch.arange(4)
    for option in (False, True):
        own = scores(4, 5, seed=2).requires_grad_()
        senior = Senior(3, 3, attention_gradient=option)
        senior(given_scores, own, relations).square().sum().backward()
        assert (own.grad is not None) == option
        assert senior.weights.grad is not None and senior.weights.grad[:4].all()
    detached = contrast_attention(0.5 * given_scores, own.detach(), 1.0)
    expected = torch.einsum("bm,mbc->bc", detached, given_scores)
    senior = Senior(3, 3)
    with torch.no_grad():
        senior.weights.zero_()
    blended = senior(given_scores, own, relations)
    (gradient,) = torch.autograd.grad(blended.sum(), senior.weights)
    per_teacher = torch.einsum("bm,mbc->bm", detached, given_scores) / 4  # σ'(0) = 1/4; attention a constant
    assert_close(gradient[:4].double(), per_teacher, rtol=1e-5, atol=1e-6)
    assert_close(blended, 0.5 * expected)


def test_soft_loss_of_agreement() -> None:
    """If z_S = z_J and T = 1, only the smoothing is left."""
    own = scores(5, 500, seed=0)
    value = soft_kl(own, own, 1.0, SMOOTHING).item()
    assert SMOOTHING == 1e-7
    assert 0 < value < 2.4e-4


def test_ranking_is_the_gated_sum_without_attention() -> None:
    graph = toys.toy_graph()
    ensemble = toys.ensemble(graph)
    senior = Senior(graph.num_relations, len(ensemble))
    with torch.no_grad():
        senior.weights.copy_(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    heads, relations = torch.arange(25).repeat(4), torch.arange(100) % 6
    gates = senior.weights.sigmoid()[relations].double()
    every = torch.stack([teacher.score_all(heads, relations) for teacher in ensemble.teachers])
    expected = torch.einsum("bm,mbe->be", gates, every)
    delivered = []
    for rows, block in SeniorRanker(senior, ensemble).blocks(heads, relations):
        assert_close(block, expected[rows].detach(), rtol=1e-6, atol=1e-6)  # gates are float32
        assert not block.requires_grad
        delivered += rows.tolist()
    assert sorted(delivered) == list(range(100))
