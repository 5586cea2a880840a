"""DistH: element-wise scaling of ball coordinates, DistMult's product in the Poincaré ball.

    q = expmap0(h) * expmap0(r),    score = -d(q, expmap0(t))² + biases

Source: MulDE (arXiv 2010.07152), teacher "DistH". The product is that of the coordinates, as in the review-time code,
not a Möbius diagonal map. It can leave the ball where 1/√curvature > 1, and is then projected back.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.poincare import expmap0, project
from mulde.kge.model.scorer import Scorer


class DistH(Scorer):
    """Entities and relations in the tangent space at the origin."""

    relation = {"scaling": "vector"}

    @staticmethod
    def query(head: Tensor, *, scaling: Tensor, curvature: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and scalings (..., d), curvature (...) -> points (..., d)."""
        return project(expmap0(head, curvature) * expmap0(scaling, curvature), curvature)
