"""Similarity by inner product, in the shape of :mod:`mulde.geometry.poincare`: for ComplEx and its relatives.

There is no distance here: the score of a pair is <q, t>, unbounded on both sides. ``curvature`` is ignored.
"""

from __future__ import annotations

import torch
from torch import Tensor


def query_terms(point: Tensor, curvature: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Offset 0, scale 0 and slope 1 (...) of query vectors (..., d)."""
    zero = point.new_zeros(point.shape[:-1])
    return zero, zero, zero + 1


def tail_terms(squares: Tensor, curvature: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Radial part 0 and stretch 1 of tails with squared norms ``squares``."""
    return torch.zeros_like(squares), torch.ones_like(squares)


def similarity(z: Tensor, curvature: Tensor | None = None, artanh_limit: float | None = None) -> Tensor:
    """The inner product itself; higher is better."""
    return z


def similarity_(z: Tensor, curvature: Tensor | None, artanh_limit: float | None, scratch: Tensor) -> Tensor:
    """:func:`similarity` in place; needs no ``scratch``."""
    return z


def similarity_slope_(
    z: Tensor, curvature: Tensor | None = None, artanh_limit: float | None = None
) -> tuple[Tensor, float]:
    """The similarity and its derivative by z."""
    return z, 1.0
