"""Diagnostics of distillation: targets that keep one part of a teacher's output and destroy the other.

Both are from Furlanello et al. 2018, "Born-Again Neural Networks" (arXiv 1805.04770), where they separate what the
probability of the first class contributes from what those of the others do. Nothing is detached in this file.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def confidence_weights(target: Tensor) -> Tensor:
    """w_b = max_k p_bk / Σ_b max_k p_bk with p = softmax(target): weights (b,) of the examples, whose sum is 1.

    Parameters
    ----------
    target
        (b, k) logits.
    """
    confidence = target.softmax(-1).amax(-1)
    return confidence / confidence.sum()


def confidence_weighted_cross_entropy(target: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
    """Σ_b w_b CE(scores_b, labels_b), weighted by the teacher's maximum (CWTM); see `confidence_weights`.

    Parameters
    ----------
    target, scores
        (b, k) logits of the teacher and of the student.
    labels
        (b,) int64.
    """
    return (confidence_weights(target) * functional.cross_entropy(scores, labels, reduction="none")).sum()


def permuted_others(target: Tensor) -> Tensor:
    """Logits with the largest one kept and all others in random order (DKPP: dark knowledge with permuted predictions).

    Every row has an order of its own, drawn from torch's generator.

    Parameters
    ----------
    target
        (b, k) logits.
    """
    rows, classes = target.shape
    first = target.argmax(-1, keepdim=True)
    others = torch.ones_like(target, dtype=torch.bool).scatter_(1, first, False)
    values = target[others].view(rows, classes - 1)
    order = torch.rand(values.shape, device=target.device).argsort(1)
    return target.masked_scatter(others, values.gather(1, order))
