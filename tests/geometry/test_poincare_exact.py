"""Ball functions in float64 against the restatement in 50 digits, to bounds derived from the conditioning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mulde.geometry import poincare
from tests.geometry import restatement as exact
from tests.geometry.sampling import CURVATURES, number, points

EPS = torch.finfo(torch.float64).eps
INSIDE = [1e-6, 0.5, 0.9, 0.99]  # √c|x|
BOUNDARY = [0.999, 1 - 1e-5, 1 - 1e-7]  # further than `project` lets a point come
TANGENTS = [1e-12, 1e-9, 1e-3, 1.0, math.atanh(0.99)]  # √c|v|


def error(found: Tensor, expected: exact.Vector) -> float:
    """Norm of the difference of one row (d,) and its exact value."""
    return float(exact.norm(exact.add(exact.vector(found), exact.scale(-1, expected))))


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("length", TANGENTS)
def test_expmap0(curvature: float, length: float) -> None:
    tangents = points(length, curvature, count=3)
    for v, found in zip(tangents, poincare.expmap0(tangents, number(curvature)), strict=True):
        expected = exact.expmap0(exact.vector(v), curvature)
        assert error(found, expected) <= 16 * EPS * float(exact.norm(expected))


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("radius", INSIDE)
def test_logmap0(curvature: float, radius: float) -> None:
    inside = points(radius, curvature, count=3)
    conditioning = radius / ((1 - radius**2) * math.atanh(radius))  # of artanh
    for x, found in zip(inside, poincare.logmap0(inside, number(curvature)), strict=True):
        expected = exact.logmap0(exact.vector(x), curvature)
        assert error(found, expected) <= 16 * EPS * (1 + conditioning) * float(exact.norm(expected))


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("x_radius", INSIDE)
@pytest.mark.parametrize("y_radius", INSIDE)
def test_mobius_add(curvature: float, x_radius: float, y_radius: float) -> None:
    left, right = points(x_radius, curvature, 3, seed=1), points(y_radius, curvature, 3, seed=2)
    smallest_denominator = (1 - x_radius * y_radius) ** 2
    bound = 32 * EPS * (x_radius + y_radius) / math.sqrt(curvature) / smallest_denominator
    for x, y, found in zip(left, right, poincare.mobius_add(left, right, number(curvature)), strict=True):
        assert error(found, exact.mobius_add(exact.vector(x), exact.vector(y), curvature)) <= bound


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("x_radius", INSIDE)
@pytest.mark.parametrize("y_radius", INSIDE)
def test_squared_distance_to_1e_10(curvature: float, x_radius: float, y_radius: float) -> None:
    left, right = points(x_radius, curvature, 3, seed=1), points(y_radius, curvature, 3, seed=2)
    assert relative_error(left, right, curvature) <= 1e-10


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("radius", INSIDE)
def test_squared_distance_of_near_points_to_1e_10(curvature: float, radius: float) -> None:
    left = points(radius, curvature, count=3)
    right = left * (1 - 1e-9) + 1e-10 * points(radius, curvature, 3, seed=5)
    assert relative_error(left, right, curvature) <= 1e-10


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("x_radius", BOUNDARY)
@pytest.mark.parametrize("y_radius", [0.0, 0.5, *BOUNDARY])
def test_squared_distance_near_the_boundary(curvature: float, x_radius: float, y_radius: float) -> None:
    """1 - c|x|² has an error of a few ε, hence a relative one of ε/(1 - c|x|²); d² amplifies none of it."""
    left, right = points(x_radius, curvature, 3, seed=1), points(y_radius, curvature, 3, seed=2)
    amplification = 1 / (1 - x_radius**2) + 1 / (1 - y_radius**2)
    assert relative_error(left, right, curvature) <= 8 * EPS * amplification


def relative_error(left: Tensor, right: Tensor, curvature: float) -> float:
    """The largest relative error of the squared distances of rows."""
    errors = []
    for x, y, found in zip(left, right, poincare.squared_distance(left, right, number(curvature)), strict=True):
        expected = exact.squared_distance(exact.vector(x), exact.vector(y), curvature)
        errors.append(abs(float((found.item() - expected) / expected)))
    return max(errors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_project_stops_at_the_margin_and_leaves_the_rest(dtype: torch.dtype, curvature: float) -> None:
    c = number(curvature, dtype)
    outside, inside = points(1.5, curvature, 4).to(dtype), points(0.9, curvature, 4).to(dtype)
    radius = poincare.project(outside, c).norm(dim=-1) * c.sqrt()
    limit = 1 - poincare.margin(dtype)
    torch.testing.assert_close(radius, torch.full_like(radius, limit), rtol=4 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(poincare.project(inside, c), inside)


def test_margin_by_precision() -> None:
    assert poincare.margin(torch.float64) == 1e-5
    assert poincare.margin(torch.float32) == poincare.margin(torch.bfloat16) == 4e-3


def test_curvature_may_differ_from_row_to_row() -> None:
    x, y, v = points(0.5, 10.0, 5, seed=1), points(0.3, 10.0, 5, seed=2), points(2.0, 10.0, 5, seed=3)
    curvatures = torch.tensor(CURVATURES, dtype=torch.float64)
    for function, arguments in [
        (poincare.expmap0, (v,)),
        (poincare.logmap0, (x,)),
        (poincare.project, (v,)),
        (poincare.mobius_add, (x, y)),
        (poincare.squared_distance, (x, y)),
    ]:
        rows = torch.stack(
            [function(*(a[i] for a in arguments), curvatures[i]) for i in range(5)]  # type: ignore[operator]
        )
        torch.testing.assert_close(function(*arguments, curvatures), rows, rtol=1e-15, atol=0)  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "for the compiler"])
def test_logarithm_near_one_is_exact(dtype: torch.dtype, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiled)
    w = torch.logspace(-37, 15, 20_001, dtype=torch.float64).to(dtype)
    expected = w.double().log1p()
    found = poincare._log1p_(w, torch.empty_like(w)).double()
    assert ((found - expected) / expected).abs().max() <= 2 * torch.finfo(dtype).eps
