"""Spaces: how query points are compared with tails in each geometry.

A space writes the similarity of a query point q and a tail vector t as a monotone function of one number z,

    z = offset + scale · radial(|t|²) + slope · stretch(|t|²) · <q, t>,

where offset, scale and slope depend on the query only, radial and stretch on the tail only. So one inner product per
pair is all that couples them, and a matrix product compares every query with every entity
(``mulde.kge.model.scoring``).

Spaces are immutable and hold options, no curvature: it is an argument, () or (b,), because it may differ by relation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mulde.geometry import poincare

Curvature = Any
"""A tensor of positive curvatures that broadcasts; None in flat spaces, which ignore it."""


class Space(ABC):
    """A geometry for scores; higher similarities are better."""

    curved: ClassVar[bool] = False
    """Whether the space has a curvature."""
    increasing: ClassVar[bool] = False
    """Whether the similarity increases with z."""

    @abstractmethod
    def query_terms(self, points: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor, Tensor]:
        """Offset, scale and slope (...) of query points (..., d)."""

    @abstractmethod
    def tail_terms(self, squares: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor]:
        """Radial part and stretch of tails with squared norms ``squares``; the shapes broadcast."""

    @abstractmethod
    def similarity(self, z: Tensor, curvature: Curvature = None) -> Tensor:
        """Similarities (...) of z (...), differentiable."""

    @abstractmethod
    def similarity_(self, z: Tensor, curvature: Curvature, scratch: Tensor) -> Tensor:
        """:meth:`similarity` in place and without gradient; ``scratch`` has the shape of z and is overwritten."""

    @abstractmethod
    def similarity_slope_(self, z: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor | float]:
        """:meth:`similarity` and its derivative by z; z is overwritten."""

    @abstractmethod
    def reach(self, similarity: Tensor, curvature: Curvature = None) -> Tensor:
        """Inverse of :meth:`similarity`: the z at which it has these values (...), the bound of z that reach them."""

    def tangents(self, vectors: Tensor, curvature: Curvature = None) -> Tensor:
        """Vectors (..., d) of a table as the vectors that a scorer transforms."""
        return vectors


@dataclass(frozen=True)
class PoincareBall(Space):
    """The Poincaré ball with the squared geodesic distance: similarity -d², z = sinh²(√c d/2)/c.

    Formulas and sources: :mod:`mulde.geometry.poincare`.

    Parameters
    ----------
    artanh_limit
        Cap on the distance, see :func:`mulde.geometry.poincare.squared_length`.
    manifold
        Whether entity vectors are points of the ball, not tangent vectors at the origin.
    """

    artanh_limit: float | None = None
    manifold: bool = False

    curved: ClassVar[bool] = True

    def query_terms(self, points: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor, Tensor]:
        return poincare.query_terms(points, curvature)

    def tail_terms(self, squares: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor]:
        return (poincare.point_terms if self.manifold else poincare.tail_terms)(squares, curvature)

    def similarity(self, z: Tensor, curvature: Curvature = None) -> Tensor:
        return poincare.similarity(z, curvature, self.artanh_limit)

    def similarity_(self, z: Tensor, curvature: Curvature, scratch: Tensor) -> Tensor:
        return poincare.similarity_(z, curvature, self.artanh_limit, scratch)

    def similarity_slope_(self, z: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor | float]:
        return poincare.similarity_slope_(z, curvature, self.artanh_limit)

    def reach(self, similarity: Tensor, curvature: Curvature = None) -> Tensor:
        return poincare.reach(similarity, curvature, self.artanh_limit)

    def tangents(self, vectors: Tensor, curvature: Curvature = None) -> Tensor:
        return poincare.logmap0(vectors, curvature) if self.manifold else vectors


@dataclass(frozen=True)
class Lorentz(PoincareBall):
    """The points of the Poincaré ball with the Lorentzian squared distance: similarity -4z.

    On the hyperboloid <x, x> = -1/c of Minkowski space the squared length of the difference of two points is

        <x - y, x - y> = 2(cosh(√c d) - 1)/c = 4 sinh²(√c d/2)/c = 4z

    for the geodesic distance d, because ball and hyperboloid are charts of one space. It orders pairs as d does, needs
    no logarithm, grows faster for far points, and has the same limit, 4|x - y|², as the curvature vanishes.

    Source: Law et al. 2019, "Lorentzian Distance Learning for Hyperbolic Representations", equation 5; the comparison
    of HyboNet (Chen et al. 2022, "Fully Hyperbolic Neural Networks", section 4). ``artanh_limit`` caps the same pairs.
    """

    def similarity(self, z: Tensor, curvature: Curvature = None) -> Tensor:
        return -4 * self._capped(z, curvature)

    def similarity_(self, z: Tensor, curvature: Curvature, scratch: Tensor) -> Tensor:
        return z.copy_(self._capped(z, curvature)).mul_(-4)

    def similarity_slope_(self, z: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor | float]:
        if self.artanh_limit is None:
            return z.mul_(-4), -4.0
        slope = torch.where(2 * curvature * z > poincare.cap(self.artanh_limit), 0.0, -4.0).to(z)
        return self.similarity_(z, curvature, z), slope

    def reach(self, similarity: Tensor, curvature: Curvature = None) -> Tensor:
        z = similarity / -4
        if self.artanh_limit is None:
            return z
        return torch.where(2 * curvature * z >= poincare.cap(self.artanh_limit), torch.inf, z)

    def _capped(self, z: Tensor, curvature: Curvature) -> Tensor:
        if self.artanh_limit is None:
            return z
        return torch.minimum(z, poincare.cap(self.artanh_limit) / (2 * curvature))


@dataclass(frozen=True)
class Euclidean(Space):
    """Flat space with the squared distance: similarity -z, z = |q - t|² = |q|² + |t|² - 2<q, t>.

    The hyperbolic similarities tend to -4|q - t|² as the curvature vanishes, because the Poincaré metric is 4|dx|² at
    the origin.
    """

    def query_terms(self, points: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor, Tensor]:
        square = points.square().sum(-1)
        one = torch.ones_like(square)
        return square, one, -2 * one

    def tail_terms(self, squares: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor]:
        return squares, torch.ones_like(squares)

    def similarity(self, z: Tensor, curvature: Curvature = None) -> Tensor:
        return -z

    def similarity_(self, z: Tensor, curvature: Curvature, scratch: Tensor) -> Tensor:
        return z.neg_()

    def similarity_slope_(self, z: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor | float]:
        return z.neg_(), -1.0

    def reach(self, similarity: Tensor, curvature: Curvature = None) -> Tensor:
        return -similarity


@dataclass(frozen=True)
class Bilinear(Space):
    """Inner products: similarity z = <q, t>, unbounded on both sides; for ComplEx and its relatives."""

    increasing: ClassVar[bool] = True

    def query_terms(self, points: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor, Tensor]:
        zero = points.new_zeros(points.shape[:-1])
        return zero, zero, zero + 1

    def tail_terms(self, squares: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(squares), torch.ones_like(squares)

    def similarity(self, z: Tensor, curvature: Curvature = None) -> Tensor:
        return z

    def similarity_(self, z: Tensor, curvature: Curvature, scratch: Tensor) -> Tensor:
        return z

    def similarity_slope_(self, z: Tensor, curvature: Curvature = None) -> tuple[Tensor, Tensor | float]:
        return z, 1.0

    def reach(self, similarity: Tensor, curvature: Curvature = None) -> Tensor:
        return similarity
