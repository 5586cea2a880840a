"""Changes of a teacher's output before a loss compares it with the student's. Nothing is detached in this file.

Two are diagnostics of Furlanello et al. 2018, "Born-Again Neural Networks" (arXiv 1805.04770), which keep one part of
the output and destroy the other. `keyed_smoothing` hides a watermark.
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


DEPTH = 0.9
"""Largest change of a keyed smoothing as a fraction of the uniform probability, so that no probability becomes 0."""


def keyed_smoothing(target: Tensor, carrier: Tensor, signs: Tensor, strength: float) -> Tensor:
    """Logits smoothed by a distribution that only the owner of a key knows: a watermark that distilled copies keep.

    log[(1 - e) p_k + e (1 + 0.9 a s_k) / n],   p = softmax(target)

    a is a function of the input and s_k = ±1 one of the class; both belong to a key. e is `strength`, or less in rows
    where the first class would change. It is our reconstruction from the abstract of Chien and Shen 2022, "Customized
    Watermarking for Deep Neural Networks via Label Distribution Perturbation" (arXiv 2208.05477).

    Parameters
    ----------
    target
        (b, k) logits. Classes with -inf keep it; n is the number of the others in the row.
    carrier
        (b,) values a in [-1, 1].
    signs
        (k,) or (b, k) values s.
    strength
        e in [0, 1].
    """
    possible = target > -torch.inf
    uniform = 1 / possible.sum(-1, keepdim=True).to(target)
    probabilities, gain = target.softmax(-1), DEPTH * carrier.unsqueeze(-1) * signs * uniform
    first = target.argmax(-1, keepdim=True)
    lead = probabilities.gather(-1, first) - probabilities
    risk = (gain - gain.expand_as(target).gather(-1, first)).clamp_min(0)
    most = torch.where(risk > 0, 0.99 * lead / (lead + risk).clamp_min(1e-30), torch.inf)
    share = most.amin(-1, keepdim=True).clamp(max=strength)
    marked = ((1 - share) * probabilities + share * (uniform + gain)).log()
    return marked.where(possible, target)
