"""What a scorer is: where its points live, which vectors a relation owns, and how (head, relation) becomes a point.

A scorer has no state. ``KGEModel`` (``model.py``) owns the tables and looks vectors up; ``tails.py`` compares the
point with the tails; the PyKEEN interactions in ``mulde/pykeen`` are made of the same two functions. A new scorer is
one file in this folder with one subclass of :class:`Scorer`; the catalogue and the contract tests find it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import ClassVar, Literal

from torch import Tensor

from mulde.geometry import lorentz, poincare

Kind = Literal["vector", "angles", "matrix"]
"""What a relation parameter is: (d,), small and normal; (d,), directions of 2x2 blocks; (d, d), small and normal."""


class Scorer:
    """A scoring function similarity(query(h, r), t) + bias_h + bias_t: minus the squared distance, or an inner product.

    Subclasses are used as classes, never instantiated.
    """

    space: ModuleType = poincare
    """A module of ``mulde.geometry`` (poincare, lorentz, euclidean, bilinear): how query points meet tails."""

    relation: ClassVar[Mapping[str, Kind]] = {}
    """Names of the relation's parameters and what they are, in the order of the tables."""

    @staticmethod
    def query(head: Tensor, **relation: Tensor) -> Tensor:
        """Map heads (..., d) and the relation's parameters (..., d), or (..., d, d), to query points (..., d).

        In hyperbolic scorers heads are tangent vectors at the origin, ``curvature`` (...) is among the keywords, and
        the result lies in the ball.
        """
        raise NotImplementedError

    @classmethod
    def hyperbolic(cls) -> bool:
        """Whether the scorer has a curvature."""
        return cls.space in (poincare, lorentz)

    @classmethod
    def pairs_coordinates(cls) -> bool:
        """Whether the dimension must be even."""
        return "angles" in cls.relation.values()
