"""HyperbolicTransE: translation in the Poincaré ball (the MulDE paper's "TransH").

    q = expmap0(h) ⊕ expmap0(r),    score = -d(q, expmap0(t))² + biases

Source: MulDE (arXiv 2010.07152), teacher "TransH". Not TransH of Wang et al. 2014, which translates on hyperplanes.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.poincare import expmap0, mobius_add
from mulde.kge.model.scorer import Scorer


class HyperbolicTransE(Scorer):
    """Entities and relations in the tangent space at the origin."""

    relation = {"translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, translation: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and translations (..., d), curvature (...) -> points (..., d)."""
        return mobius_add(expmap0(head, curvature), expmap0(translation, curvature), curvature)
