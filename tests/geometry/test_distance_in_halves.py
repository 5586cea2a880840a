"""The distance in two halves (query terms, tail terms) against the exact one.

z is a sum of three terms whose magnitudes add up to M, so it carries an error of some ε·M/(1 - c|x|²),
whatever z is: for points much nearer to each other than to the origin digits are lost. The found distance has
to be between the exact ones for z less and z plus this error: far below 1e-10 where z is not small beside M.
"""

from __future__ import annotations

import itertools
import math

import mpmath
import pytest
import torch
from torch import Tensor

from mulde.geometry import poincare
from mulde.geometry.spaces import Euclidean, Lorentz, PoincareBall, Space
from tests.geometry import restatement as exact
from tests.geometry.sampling import CURVATURES, directions, number, points

ATANH99 = math.atanh(0.99)


BALL, ON_BALL = PoincareBall(), PoincareBall(manifold=True)


def halves(x: Tensor, t: Tensor, c: Tensor, space: Space = BALL) -> tuple[Tensor, Tensor]:
    """z and the sum M of the magnitudes of its terms, (...)."""
    offset, scale, slope = space.query_terms(x, c)
    radial, stretch = space.tail_terms(t.square().sum(-1), c)
    coupling = slope * stretch
    return (
        offset + scale * radial + coupling * (x * t).sum(-1),
        offset + scale * radial + coupling.abs() * (x * t).abs().sum(-1),
    )


def exact_squared(x: Tensor, t: Tensor, curvature: float) -> mpmath.mpf:
    y = exact.expmap0(exact.vector(t), curvature)
    return exact.squared_distance(exact.vector(x), y, curvature)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("radius", [1e-3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("length", [1e-3, 0.5, 1.5, ATANH99])
def test_to_1e_10(curvature: float, radius: float, length: float) -> None:
    c = number(curvature)
    queries, tails = points(radius, curvature, 3, seed=1), points(length, curvature, 3, seed=2)
    on_ball = poincare.expmap0(tails, c)
    tangent, stored = halves(queries, tails, c)[0], halves(queries, on_ball, c, ON_BALL)[0]
    for i in range(3):
        expected = exact_squared(queries[i], tails[i], curvature)
        for z in (tangent, stored):
            found = -poincare.similarity(z[i], c).item()
            assert abs(float((found - expected) / expected)) <= 1e-10


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("radius", [0.5, 0.99, 1 - 4e-3, 1 - 1e-5])
def test_derived_bound(dtype: torch.dtype, curvature: float, radius: float) -> None:
    """Also for coinciding directions, at the boundary and far out."""
    for length in (0.0, 0.5, 2.5, 6.0, 14.0):
        for angle in (0.0, 1e-6, 1.0, math.pi):
            check_bound(dtype, curvature, radius, length, angle)


def check_bound(dtype: torch.dtype, curvature: float, radius: float, length: float, angle: float) -> None:
    """The found distance is between the exact distances of z less and z plus its error."""
    c = number(curvature, dtype)
    first, other = directions(2, seed=3)
    other = other - (other @ first) * first
    turned = math.cos(angle) * first + math.sin(angle) * other / other.norm()
    x = (first * radius / math.sqrt(curvature)).to(dtype)
    t = (turned * length / math.sqrt(curvature)).to(dtype)
    z, magnitude = halves(x, t, c)
    found = -poincare.similarity(z, c).item()

    precise = mpmath.mpf(c.item())
    y = exact.expmap0(exact.vector(t), precise)
    exact_d = exact.squared_distance(exact.vector(x), y, precise)
    exact_z = (mpmath.cosh(mpmath.sqrt(precise * exact_d)) - 1) / (2 * precise)
    gap = 1 - float(precise) * float(exact.dot(exact.vector(x), exact.vector(x)))
    error = 4 * torch.finfo(dtype).eps * (8 + length) / gap * magnitude.item()

    def squared(value: mpmath.mpf) -> float:
        return float(mpmath.acosh(1 + 2 * precise * max(value, mpmath.mpf(0))) ** 2 / precise)

    rounding = 8 * torch.finfo(dtype).eps
    assert squared(exact_z - error) * (1 - rounding) <= found <= squared(exact_z + error) * (1 + rounding) + 1e-20


@pytest.mark.parametrize("curvature", CURVATURES)
def test_float32_agrees_with_float64_below_its_distance_cap(curvature: float) -> None:
    """Below 2 artanh(1 - 4e-3)/√c, well separated: to 1e-3 of d² at the margin, 1e-5 well inside."""
    c = number(curvature, torch.float32)
    for radius, length, tolerance in [(0.5, 1.0, 1e-5), (0.9, 1.0, 1e-4), (0.996, 0.1, 1e-3)]:
        x, t = points(radius, curvature, 50, seed=1).float(), points(length, curvature, 50, seed=2).float()
        single = poincare.similarity(halves(x, t, c)[0], c).double()
        double = poincare.similarity(halves(x.double(), t.double(), c.double())[0], c.double())
        below = (-double * curvature).sqrt() < 2 * math.atanh(1 - 4e-3)
        assert below.sum() > 10
        torch.testing.assert_close(single[below], double[below], rtol=tolerance, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_tails_far_out_stay_far(dtype: torch.dtype, curvature: float) -> None:
    """sinh is capped; a tail beyond the cap has the distance of one at the cap."""
    c = number(curvature, dtype)
    x = points(0.9, curvature, 1).to(dtype)
    lengths = [5.0, 10.0, 14.0, 16.0, 20.0, 40.0, 100.0]
    similarities = [
        poincare.similarity(halves(x, x * (length / 0.9), c)[0], c).item() * curvature for length in lengths
    ]
    rounding = 1 - 1e-5
    assert all(further <= nearer * rounding for nearer, further in itertools.pairwise(similarities))
    assert similarities[-1] == pytest.approx(-((2 * 15 - 2 * math.atanh(0.9)) ** 2), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("limit", [None, 1 - 4e-3, 1 - 1e-5])
@pytest.mark.parametrize("kind", [PoincareBall, Lorentz])
def test_in_place_form_is_the_same(dtype: torch.dtype, limit: float | None, kind: type[PoincareBall]) -> None:
    z = torch.logspace(-6, 6, 200, dtype=dtype).view(20, 10)
    c = torch.linspace(0.1, 10, 20, dtype=dtype).unsqueeze(1)
    space = kind(limit)
    expected = space.similarity(z, c)
    found = space.similarity_(buffer := z.clone(), c, torch.empty_like(z))
    assert found.data_ptr() == buffer.data_ptr()
    torch.testing.assert_close(found, expected, rtol=8 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(("limit", "cap"), [(1 - 4e-3, 5.42), (1 - 1e-5, 10.65)])
def test_distance_caps_of_the_reference_codes(limit: float, cap: float) -> None:
    """MulDE and KGEmb at curvature softplus(1); no gradient beyond, as in a clamp made of relu."""
    c = number(1.3132616875182228, torch.float32)
    z = torch.tensor([1e9], requires_grad=True)
    similarity = poincare.similarity(z, c, limit)
    similarity.sum().backward()
    distance = (-similarity).sqrt().item()
    assert distance == pytest.approx(cap, abs=5e-3)
    assert distance == pytest.approx(2 * math.atanh(limit) / math.sqrt(c.item()), rel=1e-5)
    assert z.grad is not None and z.grad.item() == 0


def test_cap_leaves_nearer_points_alone() -> None:
    z, c = torch.logspace(-3, 1, 20, dtype=torch.float64), number(1.0)
    assert torch.equal(poincare.similarity(z, c, 1 - 4e-3), poincare.similarity(z, c))


def test_flat_space_in_halves() -> None:
    x, t = directions(30, seed=1) * 3, directions(30, seed=2) * 2
    z, _ = halves(x, t, number(1.0), space=Euclidean())
    pairs = zip(x.tolist(), t.tolist(), strict=True)
    expected = torch.tensor(
        [-sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for p, q in pairs], dtype=torch.float64
    )
    torch.testing.assert_close(Euclidean().similarity(z), expected, rtol=1e-12, atol=0)
