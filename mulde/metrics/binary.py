"""Yes or no with a probability: accuracy, F1, and whether the probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10


def binary_metrics(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of "yes" at one half, Brier score, log loss, expected calibration error.

    Parameters
    ----------
    probabilities
        (n,) of "yes".
    labels
        (n,) True for yes.
    """
    share, truth = _checked(probabilities, labels)
    said = share >= 0.5
    right = int((said & truth).sum())
    precision, recall = right / max(1, int(said.sum())), right / max(1, int(truth.sum()))
    clipped = np.clip(share, 1e-12, 1 - 1e-12)
    return {
        "accuracy": float((said == truth).mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "brier": float(((share - truth) ** 2).mean()),
        "log_loss": float(-np.log(np.where(truth, clipped, 1 - clipped)).mean()),
        "ece": expected_calibration_error(share, truth),
    }


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> list[dict[str, Any]]:
    """For each of ``bins`` equal parts of 0..1 that occurs: how many, the mean probability, and the share of yes."""
    share, truth = _checked(probabilities, labels)
    place = np.minimum((share * bins).astype(np.int64), bins - 1)
    return [
        {
            "from": number / bins,
            "to": (number + 1) / bins,
            "number": int(inside.sum()),
            "said": float(share[inside].mean()),
            "true": float(truth[inside].mean()),
        }
        for number in range(bins)
        if (inside := place == number).any()
    ]


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of probability and share of yes over equal bins, weighted by their size (Naeini et al. 2015)."""
    rows = reliability(probabilities, labels, bins)
    total = sum(row["number"] for row in rows)
    return float(sum(row["number"] / total * abs(row["said"] - row["true"]) for row in rows))


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    share, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if share.shape != truth.shape or share.ndim != 1 or not len(share):
        raise ValueError(f"expected as many probabilities as labels; got shapes {share.shape} and {truth.shape}")
    if not ((share >= 0) & (share <= 1)).all():  # NaN is neither
        raise ValueError(f"expected probabilities from 0 to 1; got {share[~((share >= 0) & (share <= 1))][0]}")
    return share, truth.astype(bool)
