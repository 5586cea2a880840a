"""RefH: reflection, then translation, in the Poincaré ball.

    q = expmap0(Ref(φ) h) ⊕ expmap0(r),    score = -d(q, expmap0(t))² + biases

Source: Chami et al. 2020, section 4.2 (KGEmb reflects in the tangent space, MulDE in the ball: the same, since
orthogonal maps commute with expmap0).
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.givens import reflect
from mulde.geometry.poincare import expmap0, mobius_add
from mulde.kge.model.scorer import Scorer


class RefH(Scorer):
    """Entities and translations in the tangent space at the origin; reflections as d/2 directions of the plane."""

    relation = {"reflection": "angles", "translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, reflection: Tensor, translation: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and relation parameters (..., d), curvature (...) -> points (..., d)."""
        return mobius_add(expmap0(reflect(reflection, head), curvature), expmap0(translation, curvature), curvature)
