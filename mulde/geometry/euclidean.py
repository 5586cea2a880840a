"""Flat space in the shape of :mod:`mulde.geometry.poincare`: the twin that Euclidean scorers and limit tests use.

The similarity is -|q - t|². (The hyperbolic one tends to -4|q - t|² as the curvature vanishes, because the Poincaré
metric is 4|dx|² at the origin.) ``curvature`` is accepted and ignored, so that both modules answer the same calls.
"""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distance(x: Tensor, y: Tensor, curvature: Tensor | None = None) -> Tensor:
    """|x - y|² of points (..., d) -> (...)."""
    return (x - y).square().sum(-1)


def query_terms(point: Tensor, curvature: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Offset |x|², scale 1 and slope -2 (...) of query points (..., d): |x - t|² = |x|² + |t|² - 2<x, t>."""
    square = point.square().sum(-1)
    one = torch.ones_like(square)
    return square, one, -2 * one


def tail_terms(squares: Tensor, curvature: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Radial part |t|² and stretch 1 of tails with squared norms ``squares``."""
    return squares, torch.ones_like(squares)


def similarity(z: Tensor, curvature: Tensor | None = None, artanh_limit: float | None = None) -> Tensor:
    """Minus the squared distance; higher is better."""
    return -z


def similarity_(z: Tensor, curvature: Tensor | None, artanh_limit: float | None, scratch: Tensor) -> Tensor:
    """:func:`similarity` in place; needs no ``scratch``."""
    return z.neg_()


def similarity_slope_(
    z: Tensor, curvature: Tensor | None = None, artanh_limit: float | None = None
) -> tuple[Tensor, float]:
    """:func:`similarity_` and its derivative by z."""
    return z.neg_(), -1.0
