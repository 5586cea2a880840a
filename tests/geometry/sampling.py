"""Points and tangent vectors of chosen length, for tests of the ball."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CURVATURES = [1e-8, 1e-4, 0.1, 1.0, 10.0]


def directions(count: int, dim: int = 6, seed: int = 0) -> Tensor:
    """Unit vectors (count, dim), float64."""
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm(dim=-1, keepdim=True)


def points(radius: float, curvature: float, count: int, dim: int = 6, seed: int = 0) -> Tensor:
    """Points (count, dim) of the ball with √curvature·|x| = radius."""
    return directions(count, dim, seed) * (radius / math.sqrt(curvature))


def number(curvature: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """A curvature as the scalar tensor that the functions take."""
    return torch.tensor(curvature, dtype=dtype)
