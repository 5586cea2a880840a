"""ComplEx: a bilinear score in complex numbers, <h ∘ r, t>; a strong teacher with many dimensions.

    q = h ∘ r,    score = Re Σ_j q_j conj(t_j) + biases

Source: Trouillon et al. 2016, "Complex Embeddings for Simple Link Prediction", eq. 11; with reciprocal relations and
an N3 regulariser as in Lacroix et al. 2018, "Canonical Tensor Decomposition for Knowledge Base Completion".
"""

from __future__ import annotations

import torch
from torch import Tensor

from mulde.geometry.spaces import Bilinear
from mulde.kge.model.scorer import Scorer


class ComplEx(Scorer):
    """d/2 complex numbers, each as a pair of neighbouring coordinates (real, imaginary)."""

    space = Bilinear
    relation = {"factor": "vector"}

    @staticmethod
    def query(head: Tensor, *, factor: Tensor) -> Tensor:  # type: ignore[override]
        """Heads and relation factors (..., d) -> products (..., d)."""
        (a, b), (c, d) = head.unflatten(-1, (-1, 2)).unbind(-1), factor.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((a * c - b * d, a * d + b * c), -1).flatten(-2)

    @staticmethod
    def relation_scores(heads: Tensor, tails: Tensor, factors: Tensor) -> Tensor:
        """Scores (b, r) of every relation, factors (r, d), between heads and tails (b, d): <conj(h) ∘ t, r>."""
        (a, b), (c, d) = heads.unflatten(-1, (-1, 2)).unbind(-1), tails.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((a * c + b * d, a * d - b * c), -1).flatten(-2) @ factors.T

    @classmethod
    def pairs_coordinates(cls) -> bool:
        """Yes: real and imaginary parts."""
        return True
