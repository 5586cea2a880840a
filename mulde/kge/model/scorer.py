"""Base class of scoring functions: the space of the points, a relation's parameters, and the map to a query point.

A scorer has no state. ``KGEModel`` holds the tables, ``scoring.py`` compares query points with tails, and the PyKEEN
interactions in ``mulde/pykeen`` use the same functions. A new scorer is one file in ``mulde/kge/scorers`` with one
subclass of :class:`Scorer`; the catalogue and the contract tests find it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from mulde.geometry.spaces import Lorentz, PoincareBall, Space
from mulde.kge.model.config import ModelConfig

Kind = Literal["vector", "angles", "matrix"]
"""Kind of a relation parameter: (d,), small and normal; (d,), directions of 2x2 blocks; (d, d), small and normal, which
`query` divides by √d. The kind says how a model is cut to fewer dimensions, see ``nested.py``."""


class Scorer:
    """A scoring function similarity(query(h, r), t) + bias_h + bias_t: minus a squared distance, or an inner product.

    Subclasses are used as classes, never instantiated.
    """

    space: ClassVar[type[Space]] = PoincareBall
    """A class of ``mulde.geometry.spaces``. In curved spaces ``query`` also receives the curvature."""

    relation: ClassVar[Mapping[str, Kind]] = {}
    """Names and kinds of the relation's parameters, in the order of the tables."""

    @staticmethod
    def query(head: Tensor, **relation: Tensor) -> Tensor:
        """Map heads (..., d) and the relation's parameters (..., d), or (..., d, d), to query points (..., d).

        In hyperbolic scorers heads are tangent vectors at the origin, ``curvature`` (...) is among the keywords, and
        the result is in the ball.
        """
        raise NotImplementedError

    @classmethod
    def hyperbolic(cls) -> bool:
        """Whether the scorer has a curvature."""
        return cls.space.curved

    @classmethod
    def pairs_coordinates(cls) -> bool:
        """Whether the dimension must be even."""
        return "angles" in cls.relation.values()

    @classmethod
    def space_of(cls, config: ModelConfig) -> Space:
        """The scorer's space under a model's options; flat spaces have none."""
        if not issubclass(cls.space, PoincareBall):
            return cls.space()
        space = Lorentz if config.distance == "lorentz" else cls.space
        return space(config.artanh_limit, manifold=config.parametrization == "manifold")
