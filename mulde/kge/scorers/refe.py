"""RefE: q = Ref(φ) h + r, score = -|q - t|² + biases; Euclidean counterpart of RefH.

Source: Chami et al. 2020, section 4.2.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.givens import reflect
from mulde.geometry.spaces import Euclidean
from mulde.kge.model.scorer import Scorer


class RefE(Scorer):
    """Plain vectors; reflections as d/2 directions of the plane."""

    space = Euclidean
    relation = {"reflection": "angles", "translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, reflection: Tensor, translation: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and relation parameters (..., d) -> points (..., d)."""
        return reflect(reflection, head) + translation
