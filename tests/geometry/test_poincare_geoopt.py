"""Ball functions against geoopt's stereographic manifold, the reference; its ``k`` is minus our curvature.

For tiny curvature and near the boundary geoopt itself loses digits: there the restatement is the reference.
"""

from __future__ import annotations

import math

import pytest
import torch
from geoopt.manifolds.stereographic import math as geoopt_math

from mulde.geometry import poincare
from tests.geometry.sampling import number, points

RADII = [1e-3, 0.1, 0.5, 0.9]


@pytest.mark.parametrize("curvature", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("x_radius", RADII)
@pytest.mark.parametrize("y_radius", RADII)
def test_same_as_geoopt(curvature: float, x_radius: float, y_radius: float) -> None:
    x, y = points(x_radius, curvature, 20, seed=1), points(y_radius, curvature, 20, seed=2)
    c, k = number(curvature), number(-curvature)
    v = y * math.atanh(y_radius) / y_radius
    close = {"rtol": 1e-10, "atol": 1e-12 / math.sqrt(curvature)}
    torch.testing.assert_close(poincare.expmap0(v, c), geoopt_math.expmap0(v, k=k), **close)
    torch.testing.assert_close(poincare.logmap0(x, c), geoopt_math.logmap0(x, k=k), **close)
    torch.testing.assert_close(poincare.mobius_add(x, y, c), geoopt_math.mobius_add(x, y, k=k), **close)
    torch.testing.assert_close(
        poincare.squared_distance(x, y, c), geoopt_math.dist(x, y, k=k).square(), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_projection_as_in_geoopt(dtype: torch.dtype) -> None:
    x = points(2.0, 1.0, 10).to(dtype)
    ours, theirs = poincare.project(x, number(1.0, dtype)), geoopt_math.project(x, k=number(-1.0, dtype))
    torch.testing.assert_close(ours, theirs)
