"""AttE: attention over a rotation and a reflection, then translation; Euclidean counterpart of AttH.

    q = α_ref Ref(φ) h + α_rot Rot(θ) h + r,    α = softmax(<a, ·>/√d),    score = -|q - t|² + biases

Source: Chami et al. 2020, section 4.3.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.attention import attend
from mulde.geometry.spaces import Euclidean
from mulde.kge.model.scorer import Scorer


class AttE(Scorer):
    """Plain vectors; rotations and reflections as d/2 directions of the plane."""

    space = Euclidean
    relation = {"rotation": "angles", "reflection": "angles", "context": "vector", "translation": "vector"}

    @staticmethod
    def query(  # type: ignore[override]
        head: Tensor, *, rotation: Tensor, reflection: Tensor, context: Tensor, translation: Tensor
    ) -> Tensor:
        """Heads and relation parameters (..., d) -> points (..., d)."""
        return attend(head, rotation, reflection, context) + translation
