"""Binary classification with probabilities: accuracy, F1 and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mulde.errors import UsageError

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
    predicted, truth = _checked(probabilities, labels)
    positive = predicted >= 0.5
    right = int((positive & truth).sum())
    precision, recall = right / max(1, int(positive.sum())), right / max(1, int(truth.sum()))
    clipped = np.clip(predicted, 1e-12, 1 - 1e-12)
    return {
        "accuracy": float((positive == truth).mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "brier": float(((predicted - truth) ** 2).mean()),
        "log_loss": float(-np.log(np.where(truth, clipped, 1 - clipped)).mean()),
        "ece": expected_calibration_error(predicted, truth),
    }


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> list[dict[str, Any]]:
    """For each of ``bins`` equal parts of 0..1 that occurs: the count, the mean probability and the fraction of yes."""
    predicted, truth = _checked(probabilities, labels)
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    return [
        {
            "from": number / bins,
            "to": (number + 1) / bins,
            "number": int(inside.sum()),
            "predicted": float(predicted[inside].mean()),
            "observed": float(truth[inside].mean()),
        }
        for number in range(bins)
        if (inside := place == number).any()
    ]


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of probability and fraction of yes over equal bins, weighted by count (Naeini et al. 2015)."""
    rows = reliability(probabilities, labels, bins)
    total = sum(row["number"] for row in rows)
    return float(sum(row["number"] / total * abs(row["predicted"] - row["observed"]) for row in rows))


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    predicted, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if predicted.shape != truth.shape or predicted.ndim != 1 or not len(predicted):
        raise UsageError(f"expected as many probabilities as labels; got shapes {predicted.shape} and {truth.shape}")
    if not ((predicted >= 0) & (predicted <= 1)).all():  # NaN is neither
        raise UsageError(
            f"expected probabilities from 0 to 1; got {predicted[~((predicted >= 0) & (predicted <= 1))][0]}"
        )
    return predicted, truth.astype(bool)
