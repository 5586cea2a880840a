"""Lorentzian distance: the Poincaré ball's points on their hyperboloid, compared by an inner product.

On the hyperboloid <x, x> = -1/c of Minkowski space the squared length of the difference of two points is

    <x - y, x - y> = 2(cosh(√c d) - 1)/c = 4 sinh²(√c d/2)/c = 4z

for the geodesic distance d and z as in :mod:`mulde.geometry.poincare`, whose points, maps and terms hold here, as both
are charts of one space. It orders pairs as d does, needs no logarithm, grows faster for far points, and has the same
limit, 4|x - y|², as the curvature vanishes.

Source: Law et al. 2019, "Lorentzian Distance Learning for Hyperbolic Representations", equation 5; the comparison of
HyboNet (Chen et al. 2022, "Fully Hyperbolic Neural Networks", section 4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mulde.geometry.poincare import (
    FALLING,
    cap,
    expmap0,
    logmap0,
    point_terms,
    query_terms,
    tail_terms,
)

__all__ = [
    "FALLING", "expmap0", "logmap0", "point_terms", "query_terms", "reach", "similarity", "similarity_",
    "similarity_slope_", "tail_terms",
]  # fmt: skip


def similarity(z: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> Tensor:
    """Minus the Lorentzian squared distance; higher is better."""
    return -4 * _capped(z, curvature, artanh_limit)


def similarity_(z: Tensor, curvature: Tensor, artanh_limit: float | None, scratch: Tensor) -> Tensor:
    """:func:`similarity` in place; needs no ``scratch``."""
    return z.copy_(_capped(z, curvature, artanh_limit)).mul_(-4)


def reach(similarity: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> Tensor:
    """The z at which :func:`similarity` has this value; infinity where the cap lets every z reach it."""
    z = similarity / -4
    return z if artanh_limit is None else torch.where(2 * curvature * z >= cap(artanh_limit), torch.inf, z)


def similarity_slope_(z: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> tuple[Tensor, Tensor | float]:
    """:func:`similarity_` and its derivative by z; z is overwritten."""
    if artanh_limit is None:
        return z.mul_(-4), -4.0
    slope = torch.where(2 * curvature * z > cap(artanh_limit), 0.0, -4.0).to(z)
    return similarity_(z, curvature, artanh_limit, z), slope


def _capped(z: Tensor, curvature: Tensor, artanh_limit: float | None) -> Tensor:
    return z if artanh_limit is None else torch.minimum(z, cap(artanh_limit) / (2 * curvature))
