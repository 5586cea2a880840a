"""DistE: q = h * r, score = -|q - t|² + biases; Euclidean counterpart of DistH.

Source: the Euclidean models of MulDE's review-time code; MuRE (Balažević et al. 2019) without its translation.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.spaces import Euclidean
from mulde.kge.model.scorer import Scorer


class DistE(Scorer):
    """Plain vectors."""

    space = Euclidean
    relation = {"scaling": "vector"}

    @staticmethod
    def query(head: Tensor, *, scaling: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and scalings (..., d) -> points (..., d)."""
        return head * scaling
