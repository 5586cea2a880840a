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
