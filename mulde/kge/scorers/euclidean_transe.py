"""EuclideanTransE: q = h + r, score = -|q - t|² + biases; Euclidean counterpart of HyperbolicTransE.

Source: Bordes et al. 2013 (TransE), with the squared norm and the biases of KGEmb's Euclidean models.
"""

from __future__ import annotations

from torch import Tensor

from mulde.geometry.spaces import Euclidean
from mulde.kge.model.scorer import Scorer


class EuclideanTransE(Scorer):
    """Plain vectors."""

    space = Euclidean
    relation = {"translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, translation: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and translations (..., d) -> points (..., d)."""
        return head + translation
