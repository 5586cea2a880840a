"""RotH: rotation between two translations in the Poincaré ball.

    q = Rot(θ)(expmap0(h) ⊕ expmap0(before)) ⊕ expmap0(after),    score = -d(q, expmap0(t))² + biases

Source: Chami et al. 2020, "Low-Dimensional Hyperbolic Knowledge Graph Embeddings", section
4.2. The equation there has one translation; the authors' code (and MulDE's) has a second one before the rotation, and
this file follows it.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.givens import rotate
from mulde.geometry.poincare import expmap0, mobius_add
from mulde.kge.model.scorer import Scorer


class RotH(Scorer):
    """Entities and translations in the tangent space at the origin; rotations as d/2 directions of the plane."""

    relation = {"before": "vector", "rotation": "angles", "after": "vector"}

    @staticmethod
    def query(head: Tensor, *, before: Tensor, rotation: Tensor, after: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and relation parameters (..., d), curvature (...) -> points (..., d)."""
        moved = mobius_add(expmap0(head, curvature), expmap0(before, curvature), curvature)
        return mobius_add(rotate(rotation, moved), expmap0(after, curvature), curvature)
