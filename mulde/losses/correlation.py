"""Losses that compare the relations among logits instead of their values: DIST, and standardised logits."""

from __future__ import annotations

from torch import Tensor


def dist(
    target: Tensor,
    scores: Tensor,
    temperature: float = 1.0,
    between_weight: float = 1.0,
    within_weight: float = 1.0,
) -> Tensor:
    """β (1 - mean_b ρ of rows) + γ (1 - mean_k ρ of columns) of the softened probabilities, times T² (DIST).

    ρ is Pearson's correlation: between the classes of one image, and within a class over the images of the
    batch. It is a loss of the whole batch, so batches should not be split. Huang et al. 2022;
    β = γ = 1 and the factor T² as in their code.

    Parameters
    ----------
    target, scores
        (b, k) logits, b > 1.
    """
    theirs, ours = (target / temperature).softmax(-1), (scores / temperature).softmax(-1)
    between = 1 - correlation(ours, theirs).mean()
    within = 1 - correlation(ours.T, theirs.T).mean()
    return temperature**2 * (between_weight * between + within_weight * within)


def correlation(first: Tensor, second: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Pearson's correlation of corresponding rows of two (b, k): (b,); 0 for a constant row."""
    first = first - first.mean(-1, keepdim=True)
    second = second - second.mean(-1, keepdim=True)
    # Each norm apart: the product of two tiny ones would underflow.
    first = first / first.norm(dim=-1, keepdim=True).clamp_min(epsilon)
    second = second / second.norm(dim=-1, keepdim=True).clamp_min(epsilon)
    return (first * second).sum(-1)


def standardised(logits: Tensor, epsilon: float = 1e-7) -> Tensor:
    """Logits (..., k) with mean 0 and standard deviation 1 in each row; used before any logit loss.

    (z - mean) / (std + ε) with the unbiased standard deviation, as in the code of Sun et al. 2024. Apply it
    to both sides, so that the student need not match the teacher's scale.
    """
    mean, deviation = logits.mean(-1, keepdim=True), logits.std(-1, keepdim=True)
    return (logits - mean) / (deviation + epsilon)
