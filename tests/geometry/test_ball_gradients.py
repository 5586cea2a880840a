"""Gradients of the ball functions: equal to finite differences, and finite at the limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from torch import Tensor

from mulde.geometry import poincare
from tests.geometry import restatement as exact
from tests.geometry.sampling import CURVATURES, number, points

Function = Callable[..., Tensor]


def through_halves(x: Tensor, t: Tensor, c: Tensor) -> Tensor:
    """The similarity of points x and tangent tails t (..., d)."""
    offset, scale, slope = poincare.query_terms(x, c)
    radial, stretch = poincare.tail_terms(t.square().sum(-1), c)
    return poincare.similarity(offset + scale * radial + slope * stretch * (x * t).sum(-1), c)


def through_points(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """The similarity of points x and stored points y (..., d)."""
    offset, scale, slope = poincare.query_terms(x, c)
    radial, stretch = poincare.point_terms(y.square().sum(-1), c)
    return poincare.similarity(offset + scale * radial + slope * stretch * (x * y).sum(-1), c)


ONE = [poincare.expmap0, poincare.logmap0, poincare.project]
TWO = [poincare.mobius_add, poincare.squared_distance, through_halves, through_points]


@pytest.mark.parametrize("radius", [0.3, 0.9])
@pytest.mark.parametrize("curvature", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("function", [*ONE, *TWO])
def test_equal_finite_differences(function: Function, curvature: float, radius: float) -> None:
    arguments = [points(radius, curvature, 3, dim=4, seed=1), points(0.5, curvature, 3, dim=4, seed=2)]
    arguments = [x.requires_grad_() for x in arguments[: 1 if function in ONE else 2]]
    curvatures = torch.full((3,), curvature, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (*arguments, curvatures), eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_derivative_by_curvature_is_exact(curvature: float) -> None:
    """Against the derivative in 50 digits. A difference of two terms of size d²/c, hence the bound."""
    x, t = points(0.7, curvature, 1, seed=1)[0], points(1.2, curvature, 1, seed=2)[0]
    c = number(curvature).requires_grad_()
    (found,) = torch.autograd.grad(through_halves(x, t, c), c)

    def similarity(value: mpmath.mpf) -> mpmath.mpf:
        tail = exact.expmap0(exact.vector(t), value)
        return -exact.squared_distance(exact.vector(x), tail, value)

    expected = float(mpmath.diff(similarity, mpmath.mpf(curvature), h=mpmath.mpf(curvature) * mpmath.mpf("1e-20")))
    scale = float(-similarity(mpmath.mpf(curvature))) / curvature
    assert abs(found.item() - expected) <= 1e-13 * scale


@pytest.mark.parametrize("curvature", CURVATURES)
def test_expmap0_and_logmap0_are_the_identity_to_first_order_at_the_origin(curvature: float) -> None:
    zero, c = torch.zeros(4, dtype=torch.float64), number(curvature)
    for function in ONE:
        jacobian = torch.autograd.functional.jacobian(lambda v, f=function: f(v, c), zero)
        torch.testing.assert_close(jacobian, torch.eye(4, dtype=torch.float64), rtol=1e-14, atol=0)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_a_zero_tail_is_pulled_towards_the_query(curvature: float) -> None:
    """At t = 0, ∇z = -2x/(1-c|x|²) and dd²/dz = 4δ/sinh δ with δ = √c·d = 2 artanh(√c|x|)."""
    x, c = points(0.6, curvature, 1)[0], number(curvature)
    tail = torch.zeros_like(x, requires_grad=True)
    (found,) = torch.autograd.grad(through_halves(x, tail, c), tail)
    scaled = 2 * math.atanh(0.6)
    expected = 4 * scaled / math.sinh(scaled) * 2 / (1 - 0.6**2) * x
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_coinciding_points_have_no_force(curvature: float) -> None:
    x = points(0.6, curvature, 1)[0].requires_grad_()
    y = x.detach().clone().requires_grad_()
    for gradient in torch.autograd.grad(poincare.squared_distance(x, y, number(curvature)), (x, y)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_finite_everywhere(dtype: torch.dtype, curvature: float) -> None:
    """The whole way of a score, from tangent vectors at the origin, inside, and far beyond the boundary."""
    lengths = [0.0, 1e-20, 1e-8, 1.0, 10.0, 14.0, 40.0]
    head = torch.cat([points(length, curvature, 1, seed=1) for length in lengths]).repeat(8, 1).to(dtype)
    tail = torch.cat([points(length, curvature, 1, seed=2) for length in lengths]).repeat_interleave(7, 0)
    tail = torch.cat([tail.to(dtype), head[:7]])  # each with each, and each with itself
    head.requires_grad_()
    tail.requires_grad_()
    c = torch.full((len(head),), curvature, dtype=dtype, requires_grad=True)
    query = poincare.mobius_add(poincare.expmap0(head, c), poincare.expmap0(head.flip(0), c), c)
    stored = poincare.project(poincare.expmap0(tail, c), c)
    for value in (
        through_halves(query, tail, c),
        through_points(query, stored, c),
        poincare.squared_distance(query, stored, c),
        poincare.logmap0(stored, c),
    ):
        assert torch.isfinite(value).all()
        gradients = torch.autograd.grad(value.sum(), (head, tail, c), retain_graph=True, allow_unused=True)
        assert all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients)


def test_second_derivatives_are_refused() -> None:
    """The derivative is kept as numbers: a second derivative would silently lack a part."""
    z = torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True)
    loss = poincare.squared_length(z, number(1.0)).sigmoid().sum()
    (first,) = torch.autograd.grad(loss, z, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
