"""Detection of examples that a classifier was not made for, by the scores of its logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from mulde.errors import UsageError

KEPT = 0.95
"""Fraction of the examples inside the distribution that the threshold keeps."""


def maximum_probability(logits: ArrayLike) -> NDArray[np.float64]:
    """Largest probability (n,) of logits (n, k) (Hendrycks, Gimpel 2017, arXiv 1610.02136)."""
    return np.asarray(special.softmax(np.asarray(logits, np.float64), 1).max(1))


def negative_energy(logits: ArrayLike) -> NDArray[np.float64]:
    """log Σ exp z (n,) of logits (n, k), at a temperature of 1 (Liu et al. 2020, arXiv 2010.03759)."""
    return np.asarray(special.logsumexp(np.asarray(logits, np.float64), 1))


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Probability that an example inside has a larger score than one outside; equal scores count one half.

    Parameters
    ----------
    inside, outside
        Scores (n,) and (m,).

    Raises
    ------
    UsageError
        Without scores, or for NaN.
    """
    from scipy import stats  # slow to import

    high, low = np.asarray(inside, np.float64), np.asarray(outside, np.float64)
    if not len(high) or not len(low) or np.isnan(high).any() or np.isnan(low).any():
        raise UsageError(f"expected numbers inside and outside; got {len(high)} and {len(low)}, or NaN")
    return float(stats.mannwhitneyu(high, low, method="asymptotic").statistic / (len(high) * len(low)))


def detection_rows(inside: ArrayLike, outside: ArrayLike) -> list[dict[str, Any]]:
    """For both scores: `auroc`, and the part of the outside examples above the threshold that keeps 95 % inside.

    Parameters
    ----------
    inside, outside
        Logits (n, k) and (m, k).
    """
    rows = []
    for name, score in (("maximum probability", maximum_probability), ("energy", negative_energy)):
        high, low = score(inside), score(outside)
        threshold = np.sort(high)[int((1 - KEPT) * len(high))]
        kept = float((low >= threshold).mean()) if len(low) else float("nan")
        rows.append({"score": name, "auroc": auroc(high, low), "outside_at_95": kept})
    return rows
