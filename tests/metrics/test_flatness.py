"""Flatness on a quadratic whose Hessian is known, and on networks trained with and without SAM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.metrics import flatness
from tests.losses.restated import drawn


@pytest.fixture(scope="module")
def quadratic() -> tuple[Callable[[], Tensor], list[nn.Parameter], Tensor]:
    """½ wᵀAw of 12 weights in two parameters, at a point that is not the minimum."""
    square = drawn(12, 12, seed=1, scale=0.1)
    matrix = square @ square.T + torch.diag(torch.arange(1.0, 13.0, dtype=torch.float64))
    parameters = [nn.Parameter(drawn(2, 4, seed=2)), nn.Parameter(drawn(4, seed=3))]

    def loss() -> Tensor:
        w = torch.cat([parameter.flatten() for parameter in parameters])
        return 0.5 * w @ matrix @ w

    return loss, parameters, matrix


def test_trace_and_largest_eigenvalue_of_a_quadratic(
    quadratic: tuple[Callable[[], Tensor], list[nn.Parameter], Tensor],
) -> None:
    loss, parameters, matrix = quadratic
    assert flatness.hessian_trace(loss, parameters, 200) == pytest.approx(float(matrix.trace()), rel=0.02)
    greatest = float(torch.linalg.eigvalsh(matrix)[-1])
    assert flatness.largest_eigenvalue(loss, parameters) == pytest.approx(greatest, rel=0.02)


def test_increases_of_a_quadratic(quadratic: tuple[Callable[[], Tensor], list[nn.Parameter], Tensor]) -> None:
    loss, parameters, matrix = quadratic
    before = [parameter.detach().clone() for parameter in parameters]
    w = torch.cat([parameter.detach().flatten() for parameter in parameters])
    gradient = matrix @ w
    step = 0.3 * gradient / gradient.norm()
    expected = gradient @ step + 0.5 * step @ matrix @ step
    assert flatness.ascent_sharpness(loss, parameters, 0.3) == pytest.approx(float(expected), rel=1e-12)
    generator, increases = torch.Generator().manual_seed(0), []
    for _ in range(5):
        d = torch.cat([part.flatten() for part in flatness.filter_normalised_direction(parameters, generator)])
        increases.append(float(0.2 * gradient @ d + 0.5 * 0.2**2 * d @ matrix @ d))
    found = flatness.filter_normalised_sharpness(loss, parameters, 0.2, samples=5)
    assert found == pytest.approx(sum(increases) / 5, rel=1e-9)
    assert all(map(torch.equal, before, (parameter.detach() for parameter in parameters)))


def test_a_direction_has_the_norms_of_the_filters_and_leaves_vectors_alone() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    found = flatness.filter_normalised_direction(list(net.parameters()), torch.Generator().manual_seed(0))
    torch.testing.assert_close(found[0].flatten(1).norm(dim=1), net[0].weight.detach().flatten(1).norm(dim=1))
    assert all(part.count_nonzero() == 0 for part in found[1:])


def test_the_scale_of_a_filter_does_not_matter() -> None:
    """ReLU(c x) / c = ReLU(x): the same function has another trace and the same filter-normalised sharpness."""
    inputs, labels = drawn(40, 5, seed=4), torch.arange(40) % 3
    found = []
    for scale in (1.0, 10.0):
        net: Any = nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)).double()
        with torch.no_grad():
            for number, parameter in enumerate(net.parameters()):
                parameter.copy_(drawn(*parameter.shape, seed=number, scale=0.5))
            net[0].weight.mul_(scale)
            net[2].weight.div_(scale)
        found.append(flatness.flatness(partial(net, inputs), list(net.parameters()), labels)[0])
    assert found[0]["filter_sharpness"] == pytest.approx(found[1]["filter_sharpness"], rel=1e-9)
    assert found[1]["hessian_trace"] > 3 * found[0]["hessian_trace"]


def test_a_fitted_temperature_undoes_a_scale() -> None:
    logits = drawn(300, 4, seed=5)
    labels = torch.distributions.Categorical(logits=logits).sample()
    base = flatness.fitted_temperature(logits, labels)
    assert base == pytest.approx(1, abs=0.2)
    assert flatness.fitted_temperature(3 * logits, labels) == pytest.approx(3 * base, rel=0.03)


def test_sam_finds_a_flatter_minimum_than_gradient_descent() -> None:
    """The positive control. The increase along the gradient is left out: SAM ends where the slope is not 0."""
    inputs = drawn(120, 6, seed=6)
    labels = ((inputs @ drawn(6, 3, seed=7)) + drawn(120, 3, seed=8)).argmax(1)
    found = {radius: _trained(inputs, labels, radius) for radius in (0.0, 0.3)}
    for name, value in found[0.0].items():
        assert found[0.3][name] < value, name


def _trained(inputs: Tensor, labels: Tensor, radius: float) -> dict[str, float]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    parameters = list(net.parameters())
    for _ in range(200):
        gradient = torch.autograd.grad(functional.cross_entropy(net(inputs), labels), parameters)
        norm = torch.stack([part.norm() for part in gradient]).norm()
        if radius:
            with flatness.moved(parameters, gradient, radius / float(norm)):
                gradient = torch.autograd.grad(functional.cross_entropy(net(inputs), labels), parameters)
        with torch.no_grad():
            for parameter, part in zip(parameters, gradient, strict=True):
                parameter.sub_(part, alpha=0.2)

    def loss() -> Tensor:
        return functional.cross_entropy(net(inputs), labels)

    return {
        "trace": flatness.hessian_trace(loss, parameters, 20),
        "eigenvalue": flatness.largest_eigenvalue(loss, parameters, 20),
        "filters": flatness.filter_normalised_sharpness(loss, parameters, 0.3),
    }
