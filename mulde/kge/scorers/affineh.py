"""AffineH: a linear map per relation, then a translation in the Poincaré ball.

    q = expmap0(h + A h / √d) ⊕ expmap0(translation),    score = -d(q, expmap0(t))² + biases

Ours. In RotH, RefH and AttH a relation rotates or reflects pairs of coordinates; here it mixes all of them, as in
RESCAL and in HyboNet (Chen et al. 2022, "Fully Hyperbolic Neural Networks", section 4), which has the distance
"lorentz" and a map of the hyperboloid's coordinates. With few dimensions the map improves scores more than any choice
of geometry, if the graph has enough triples for each relation; it costs d² numbers for every relation and direction.
The parameter A is √d times the difference of the map from the identity. With this factor, an optimiser that changes
every number by the same amount changes h + A h / √d about as much as h.
"""

from __future__ import annotations

import math

from torch import Tensor

from mulde.geometry.poincare import expmap0, mobius_add
from mulde.kge.model.scorer import Scorer


class AffineH(Scorer):
    """Entities and translations in the tangent space at the origin; maps as matrices, zero for the identity."""

    relation = {"linear": "matrix", "translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, linear: Tensor, translation: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and translations (..., d), maps (..., d, d), curvature (...) -> points (..., d)."""
        mixed = head + (linear @ head.unsqueeze(-1)).squeeze(-1) / math.sqrt(head.shape[-1])
        return mobius_add(expmap0(mixed, curvature), expmap0(translation, curvature), curvature)
