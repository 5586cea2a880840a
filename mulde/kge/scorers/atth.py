"""AttH: attention over a rotation and a reflection, then translation, in the Poincaré ball.

    q = expmap0(α_ref Ref(φ) h + α_rot Rot(θ) h) ⊕ expmap0(r),    α = softmax(<a, ·>/√d)

Source: Chami et al. 2020, section 4.3; as in KGEmb the attention acts in the tangent space and is scaled by 1/√d.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.attention import attend
from mulde.geometry.poincare import expmap0, mobius_add
from mulde.kge.model.scorer import Scorer


class AttH(Scorer):
    """Entities, translations and context vectors in the tangent space; rotations and reflections as directions."""

    relation = {"rotation": "angles", "reflection": "angles", "context": "vector", "translation": "vector"}

    @staticmethod
    def query(  # type: ignore[override]
        head: Tensor, *, rotation: Tensor, reflection: Tensor, context: Tensor, translation: Tensor, curvature: Tensor
    ) -> Tensor:
        """Heads and relation parameters (..., d), curvature (...) -> points (..., d)."""
        mixed = attend(head, rotation, reflection, context)
        return mobius_add(expmap0(mixed, curvature), expmap0(translation, curvature), curvature)
