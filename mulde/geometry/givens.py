"""Rotations and reflections of pairs of coordinates (block-diagonal 2x2 matrices), Chami et al. 2020, section 4.2.

A parameter vector (..., d) holds one pair (p₁, p₂) per block; only its direction (a, b) = (p₁, p₂)/|(p₁, p₂)| counts.
Both maps are orthogonal, so they commute with the exponential map at the origin and fix the ball.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(parameters: Tensor, x: Tensor) -> Tensor:
    """Apply [a -b; b a] to every pair of coordinates of x; both arguments (..., d), d even."""
    (a, b), (first, second) = _directions(parameters), _pairs(x)
    return torch.stack((a * first - b * second, b * first + a * second), -1).flatten(-2)


def reflect(parameters: Tensor, x: Tensor) -> Tensor:
    """Apply [a b; b -a] to every pair of coordinates of x; both arguments (..., d), d even."""
    (a, b), (first, second) = _directions(parameters), _pairs(x)
    return torch.stack((a * first + b * second, b * first - a * second), -1).flatten(-2)


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    pairs = x.unflatten(-1, (-1, 2))
    return pairs[..., 0], pairs[..., 1]


def _directions(parameters: Tensor) -> tuple[Tensor, Tensor]:
    pairs = parameters.unflatten(-1, (-1, 2))
    unit = pairs / pairs.square().sum(-1, keepdim=True).clamp_min(1e-30).sqrt()
    return unit[..., 0], unit[..., 1]
