"""Rotations and reflections of pairs of coordinates: orthogonal, commuting with the exponential map."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mulde.geometry.givens import reflect, rotate
from mulde.geometry.poincare import expmap0
from tests.geometry.sampling import CURVATURES, number

Map = Callable[[Tensor, Tensor], Tensor]


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_angles(parameters: Tensor, x: Tensor, mirror: bool) -> Tensor:
    """One pair after another, as complex numbers: z·e^{iθ}, or its conjugate z̄·e^{iφ}."""
    rows = []
    for p, row in zip(parameters.tolist(), x.tolist(), strict=True):
        turned: list[float] = []
        for i in range(0, len(row), 2):
            angle = math.atan2(p[i + 1], p[i])
            z = complex(row[i], -row[i + 1] if mirror else row[i + 1]) * complex(math.cos(angle), math.sin(angle))
            turned += [z.real, z.imag]
        rows.append(turned)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("apply", [rotate, reflect])
def test_equal_complex_numbers(apply: Map) -> None:
    parameters, x = drawn(30, 8, seed=1), drawn(30, 8, seed=2)
    assert_close(apply(parameters, x), by_angles(parameters, x, apply is reflect), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("apply", [rotate, reflect])
def test_orthogonal(apply: Map) -> None:
    parameters = drawn(8, seed=1)
    matrix = apply(parameters, torch.eye(8, dtype=torch.float64))
    assert_close(matrix @ matrix.T, torch.eye(8, dtype=torch.float64), rtol=0, atol=1e-15)
    assert torch.linalg.det(matrix).item() == pytest.approx(1.0)  # four blocks of determinant 1, or of -1
    block = torch.linalg.det(matrix[:2, :2]).item()
    assert block == pytest.approx(1.0 if apply is rotate else -1.0)


def test_inverses() -> None:
    parameters, x = drawn(5, 8, seed=1), drawn(5, 8, seed=2)
    back = parameters * torch.tensor([1.0, -1.0]).repeat(4)
    assert_close(rotate(back, rotate(parameters, x)), x, rtol=1e-14, atol=1e-15)
    assert_close(reflect(parameters, reflect(parameters, x)), x, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("apply", [rotate, reflect])
def test_only_the_direction_of_parameters_counts(apply: Map) -> None:
    parameters, x = drawn(5, 8, seed=1), drawn(5, 8, seed=2)
    factors = torch.tensor([1e-6, 1e6, 3.0, 0.1]).double().repeat_interleave(2)
    assert_close(apply(parameters * factors, x), apply(parameters, x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("apply", [rotate, reflect])
def test_commute_with_the_exponential_map(apply: Map, curvature: float) -> None:
    """The tangent space and the ball give the same model, to 1e-12."""
    parameters, x, c = drawn(50, 8, seed=1), drawn(50, 8, seed=2), number(curvature)
    assert_close(expmap0(apply(parameters, x), c), apply(parameters, expmap0(x, c)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("apply", [rotate, reflect])
def test_gradients(apply: Map) -> None:
    arguments = (drawn(3, 4, seed=1).requires_grad_(), drawn(3, 4, seed=2).requires_grad_())
    assert torch.autograd.gradcheck(apply, arguments)
    zero = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    value = apply(zero, arguments[1])
    assert torch.isfinite(value).all()
    assert torch.isfinite(torch.autograd.grad(value.sum(), zero)[0]).all()


@pytest.mark.parametrize("apply", [rotate, reflect])
def test_broadcasts(apply: Map) -> None:
    parameters, x = drawn(5, 1, 8, seed=1), drawn(7, 8, seed=2)
    every = apply(parameters, x)
    assert every.shape == (5, 7, 8)
    assert_close(every[3, 2], apply(parameters[3, 0], x[2]))
