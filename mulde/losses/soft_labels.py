"""Losses against labels from a network: the teacher's scores, softened by a temperature.

Neither side is detached in this file; the method decides which side learns from a term. All logarithms are taken of
logits (log-softmax), never of a softmax, whose small entries underflow to zero.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from mulde.errors import UsageError

Reduction = Literal["mean", "elements", "sum", "none"]
"""mean: sum over classes, mean over all rows (torch's "batchmean" for (b, k)); elements: mean over rows and
classes (torch's "mean"), 1/k of the former; sum: over everything; none: one value per row."""


def soft_kl(target: Tensor, scores: Tensor, temperature: float = 1.0, smoothing: float = 0.0) -> Tensor:
    """T² · KL(softmax(target/T) ‖ softmax(scores/T)), summed over candidates, mean over the batch.

    Hinton et al. 2015 with the factor T² that keeps gradients comparable across temperatures. Neither side is
    detached here.

    Parameters
    ----------
    target, scores
        (b, c) logits of the teacher and of the student on the same candidates.
    temperature
        T.
    smoothing
        Constant added to the target probabilities before their logarithm (MulDE's review-time code: 1e-7).
    """
    soft = (target / temperature).softmax(-1) + smoothing
    own = (scores / temperature).log_softmax(-1)
    terms = soft * (soft.log() - own) if smoothing else soft * ((target / temperature).log_softmax(-1) - own)
    return temperature**2 * terms.sum(-1).mean()


def kd(
    target: Tensor,
    scores: Tensor,
    temperature: float | Tensor = 4.0,
    reduction: Reduction = "mean",
    squared: bool = True,
) -> Tensor:
    """Classic distillation, T² · KL(softmax(target/T) ‖ softmax(scores/T)), with the conventions as arguments.

    Parameters
    ----------
    target, scores
        (..., k) logits, classes last. For dense outputs the rows are all positions, so the loss does not
        grow with their number.
    reduction
        See `Reduction`; weights of the loss are comparable under one reduction only.
    squared
        Whether to multiply by T² (Hinton et al. 2015 do; DoGo and the formula of SimCLRv2 do not).
    """
    log_target = (target / temperature).log_softmax(-1)
    log_own = (scores / temperature).log_softmax(-1)
    factor = temperature**2 if squared else 1.0
    return factor * _kl(log_target, log_own, reduction)


def soft_cross_entropy(target: Tensor, scores: Tensor, temperature: float = 1.0, squared: bool = False) -> Tensor:
    """-Σ softmax(target/T) log softmax(scores/T), mean over rows (SimCLRv2); `kd` plus an entropy.

    Parameters
    ----------
    target, scores
        (..., k) logits, classes last.
    """
    log_own = (scores / temperature).log_softmax(-1)
    factor = temperature**2 if squared else 1.0
    return -factor * ((target / temperature).softmax(-1) * log_own).sum(-1).mean()


def symmetric_kl(
    first: Tensor, second: Tensor, temperature: float | Tensor = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """T² · (KL(first ‖ second) + KL(second ‖ first)) / 2 of softened logits (..., k)."""
    return (kd(first, second, temperature, reduction) + kd(second, first, temperature, reduction)) / 2


def jensen_shannon(first: Tensor, second: Tensor, reversed_kl: bool = False) -> Tensor:
    """½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q) / 2, of the softmax of logits (..., k); mean over rows, at most ln 2.

    Parameters
    ----------
    reversed_kl
        Whether to take ½ KL(m ‖ p) + ½ KL(m ‖ q) instead (the code of FedX), which is no Jensen-Shannon divergence and
        has no bound. Nothing is detached: gradients also flow through m.
    """
    log_p, log_q = first.log_softmax(-1), second.log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    pairs = [(log_m, log_p), (log_m, log_q)] if reversed_kl else [(log_p, log_m), (log_q, log_m)]
    return torch.stack([_kl(target, own, "mean") for target, own in pairs]).mean()


def not_true_kl(
    target: Tensor, scores: Tensor, labels: Tensor, temperature: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """T² · KL of the classes other than the label, renormalised: L_NTD of FedNTD, NCKD of DKD.

    The logits of the true class are left out, hence their gradient is exactly zero; with two classes so is
    the loss.

    Parameters
    ----------
    target, scores
        (b, k) logits.
    labels
        (b,) int64.
    """
    return kd(without_label(target, labels), without_label(scores, labels), temperature, reduction)


def target_class_kl(
    target: Tensor, scores: Tensor, labels: Tensor, temperature: float = 1.0, reduction: Reduction = "mean"
) -> Tensor:
    """T² · KL between the binary splits (label, all others): TCKD of DKD. Shapes as in `not_true_kl`."""
    return temperature**2 * _kl(
        _log_split(target / temperature, labels), _log_split(scores / temperature, labels), reduction
    )


def dkd(
    target: Tensor,
    scores: Tensor,
    labels: Tensor,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    others_weight: float = 8.0,
) -> Tensor:
    """Decoupled distillation, α · TCKD + β · NCKD (Zhao et al. 2022); shapes as in `not_true_kl`.

    The authors also increase the weight of the sum over 20 epochs; a method may do so.
    """
    return target_weight * target_class_kl(target, scores, labels, temperature) + others_weight * not_true_kl(
        target, scores, labels, temperature
    )


def without_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits (b, k) without the column of each row's label: (b, k - 1), order kept."""
    rows, classes = logits.shape
    others = torch.ones_like(logits, dtype=torch.bool).scatter_(1, labels.unsqueeze(1), False)
    return logits[others].view(rows, classes - 1)


def _log_split(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities (b, 2) of the label and of all other classes together."""
    everything = logits.logsumexp(1, keepdim=True)
    others = without_label(logits, labels).logsumexp(1, keepdim=True)
    return torch.cat([logits.gather(1, labels.unsqueeze(1)), others], 1) - everything


def _kl(log_target: Tensor, log_own: Tensor, reduction: Reduction) -> Tensor:
    terms = log_target.exp() * (log_target - log_own)
    match reduction:
        case "mean":
            return terms.sum(-1).mean()
        case "elements":
            return terms.mean()
        case "sum":
            return terms.sum()
        case "none":
            return terms.sum(-1)
    raise UsageError(f'no reduction called "{reduction}"; choose mean, elements, sum or none')
