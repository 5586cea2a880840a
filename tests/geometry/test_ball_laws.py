"""Identities of the gyrovector space, its metric, and its flat limit."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from mulde.geometry import poincare
from mulde.geometry.poincare import expmap0, logmap0, mobius_add, squared_distance
from tests.geometry.sampling import CURVATURES, number, points


def three(curvature: float, seed: int) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
    """Three sets of points of radii .3, .6 and .9, and the tolerance for a point of this ball."""
    x, y, z = (points(r, curvature, 20, seed=10 * seed + i) for i, r in enumerate((0.3, 0.6, 0.9)))
    return x, y, z, {"rtol": 0, "atol": 1e-12 / math.sqrt(curvature)}


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("seed", range(5))
def test_addition(curvature: float, seed: int) -> None:
    x, y, z, close = three(curvature, seed)
    c, zero = number(curvature), torch.zeros_like(x)
    assert_close(mobius_add(-x, mobius_add(x, z, c), c), z, **close)  # left cancellation
    assert_close(mobius_add(-z, mobius_add(z, x, c), c), x, rtol=0, atol=1e-10 / math.sqrt(curvature))
    assert_close(mobius_add(x, -x, c), zero, **close)  # inverse
    assert_close(mobius_add(x, zero, c), x, **close)  # identity, right and left
    assert_close(mobius_add(zero, x, c), x, **close)
    assert_close(mobius_add(x, 0.5 * x, c), mobius_add(0.5 * x, x, c), **close)  # commutes on a line
    assert not torch.allclose(mobius_add(x, y, c), mobius_add(y, x, c), **close)  # and nowhere else


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("seed", range(5))
def test_metric(curvature: float, seed: int) -> None:
    x, y, z, _ = three(curvature, seed)
    c = number(curvature)
    assert torch.equal(squared_distance(x, y, c), squared_distance(y, x, c))
    assert (squared_distance(x, x, c) * c < 1e-29).all()
    moved = squared_distance(mobius_add(z, x, c), mobius_add(z, y, c), c)  # left translations are isometries
    assert_close(moved, squared_distance(x, y, c), rtol=1e-9, atol=0)
    tangent = logmap0(x, c)
    assert_close(squared_distance(torch.zeros_like(x), x, c), 4 * tangent.square().sum(-1), rtol=1e-12, atol=0)


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(
    st.sampled_from(CURVATURES),
    st.integers(0, 10_000),
    st.tuples(*[st.floats(0, 0.9999) for _ in range(3)]),
)
def test_triangle_inequality(curvature: float, seed: int, radii: tuple[float, float, float]) -> None:
    c = number(curvature)
    x, y, z = (points(r, curvature, 1, dim=2, seed=seed + i) for i, r in enumerate(radii))
    detour = squared_distance(x, y, c).sqrt() + squared_distance(y, z, c).sqrt()
    assert (squared_distance(x, z, c).sqrt() <= detour * (1 + 1e-10)).all()


@pytest.mark.parametrize("curvature", CURVATURES)
def test_exponential_and_logarithm_are_inverse(curvature: float) -> None:
    c = number(curvature)
    for length in (0.0, 1e-9, 0.1, 1.0, 2.6):
        v = points(length, curvature, 10)
        assert_close(logmap0(expmap0(v, c), c), v, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_sums_stay_inside_the_ball(dtype: torch.dtype, curvature: float) -> None:
    """Also of points that rounding put onto the boundary, and of opposite ones."""
    c = number(curvature, dtype)
    x = expmap0(points(50.0, curvature, 20, seed=1).to(dtype), c)
    for y in (x, -x, expmap0(points(50.0, curvature, 20, seed=2).to(dtype), c), torch.zeros_like(x)):
        radius = mobius_add(x, y, c).norm(dim=-1) * c.sqrt()
        assert (radius <= (1 - poincare.margin(dtype)) * (1 + 4 * torch.finfo(dtype).eps)).all()


def test_flat_limit() -> None:
    """d² tends to 4|x - y|² and x ⊕ y to x + y; the distance to the limit shrinks with the curvature."""
    x, y = points(0.7, 1.0, 50, seed=1), points(1.3, 1.0, 50, seed=2)
    for curvature in (1e-4, 1e-6, 1e-8):
        c = number(curvature)
        for found, expected in [
            (squared_distance(x, y, c), 4 * (x - y).square().sum(-1)),
            (mobius_add(x, y, c), x + y),
            (expmap0(x, c), x),
            (logmap0(x, c), x),
        ]:
            deviation = ((found - expected).abs() / expected.abs().max()).max()
            assert 0 < deviation < 20 * curvature
    radial, stretch = poincare.tail_terms(y.square().sum(-1), number(1e-8))
    assert_close(radial, y.square().sum(-1), rtol=1e-7, atol=0)
    assert_close(stretch, torch.ones(50, dtype=torch.float64), rtol=1e-7, atol=0)
