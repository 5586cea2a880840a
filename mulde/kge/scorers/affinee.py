"""AffineE: q = h + A h / √d + translation, score = -|q - t|² + biases; Euclidean counterpart of AffineH.

A relative of Structured Embeddings (Bordes et al. 2011), with one map, a translation and a squared distance.
"""

from __future__ import annotations

import math

from torch import Tensor

from mulde.geometry.spaces import Euclidean
from mulde.kge.model.scorer import Scorer


class AffineE(Scorer):
    """Plain vectors; maps as matrices, zero for the identity."""

    space = Euclidean
    relation = {"linear": "matrix", "translation": "vector"}

    @staticmethod
    def query(head: Tensor, *, linear: Tensor, translation: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and translations (..., d), maps (..., d, d) -> points (..., d)."""
        return head + (linear @ head.unsqueeze(-1)).squeeze(-1) / math.sqrt(head.shape[-1]) + translation
