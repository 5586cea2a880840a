"""RotE: q = Rot(θ) h + r, score = -|q - t|² + biases; Euclidean counterpart of RotH.

Source: Chami et al. 2020, section 4.2. One translation: before a rotation a second one would add nothing, since
Rot(h + b) + a = Rot(h) + (Rot(b) + a).
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.givens import rotate
from mulde.geometry.spaces import Euclidean
from mulde.kge.model.scorer import Scorer


class RotE(Scorer):
    """Plain vectors; rotations as d/2 directions of the plane."""

    space = Euclidean
    relation = {"rotation": "angles", "translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, rotation: Tensor, translation: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and relation parameters (..., d) -> points (..., d)."""
        return rotate(rotation, head) + translation
