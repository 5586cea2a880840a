"""Losses against labels from the data."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def binary_first_true(scores: Tensor) -> Tensor:
    """Binary cross entropy of candidates, the first of which is true; mean over all slots.

        mean over b and c of  BCE(σ(s_bc), [c = 0])

    One positive and c - 1 negatives have equal weight each, so a positive weighs 1/c (MulDE's review-time code and
    KGEmb with negative sampling). Coefficients of other terms are comparable under this reduction only.

    Parameters
    ----------
    scores
        (b, c), the true candidate in column 0.
    """
    signs = scores.new_ones(scores.shape[1])
    signs[0] = -1  # softplus(-s) of the true one, softplus(s) of the others
    return functional.softplus(signs * scores).mean()


def binary(scores: Tensor, labels: Tensor, left_out: Tensor | None = None) -> Tensor:
    """Binary cross entropy of scores (b, c) with labels (b, c) in [0, 1], the mean over all slots.

    ``left_out`` (b, c) bool: slots without a reliable label; the mean is over the others.
    """
    labels = labels.to(scores.dtype)
    if left_out is None:
        return functional.binary_cross_entropy_with_logits(scores, labels)
    counted = (~left_out).to(scores.dtype)
    total = functional.binary_cross_entropy_with_logits(scores, labels, counted, reduction="sum")
    return total / counted.sum().clamp_min(1)


def cross_entropy_first_true(scores: Tensor) -> Tensor:
    """Softmax cross entropy of candidates (b, c), the first of which is true; mean over the batch."""
    return (torch.logsumexp(scores, 1) - scores[:, 0]).mean()


def focal(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, confident_share: float = 0.0, confident_gamma: float = 3.0
) -> Tensor:
    """Cyclical focal loss (Smith 2022, arXiv 2202.08978), without label smoothing; mean over the batch.

        -[ξ (1 + p)^γ' + (1 - ξ) (1 - p)^γ] log p,   p the probability of the label

    With ξ = 0 it is the focal loss of Lin et al. 2017, and with γ = 0 too cross entropy.

    Parameters
    ----------
    logits
        (b, k)
    labels
        (b,) int64.
    gamma
        γ. Images with a small p weigh more.
    confident_share
        ξ, in [0, 1].
    confident_gamma
        γ'. Images with a large p weigh more.
    """
    logarithm = logits.log_softmax(1).gather(1, labels[:, None]).squeeze(1)
    p = logarithm.exp()
    rest = (-logarithm.expm1()).clamp_min(torch.finfo(p.dtype).tiny)  # 1 - p; 0 ** gamma has no gradient for gamma < 1
    weight = confident_share * (1 + p) ** confident_gamma + (1 - confident_share) * rest**gamma
    return -(weight * logarithm).mean()
