"""Forgetting of a classifier: over rounds, and on classes that a client has no data of."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mulde.errors import UsageError


def forgetting(recalls: ArrayLike) -> float:
    """F = mean over classes of max_{t < T} (A_c^t - A_c^T): how far each class is below its best (FedNTD).

    Negative where the last round is the best of all.

    Parameters
    ----------
    recalls
        (t, k) recall A_c^t of every class after every round; at least two rounds. Classes that are NaN throughout
        (not tested) are left out.
    """
    values = np.asarray(recalls, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2:
        raise UsageError(f"expected the recall of every class after at least 2 rounds; got shape {values.shape}")
    return float(np.nanmean(values[:-1].max(0) - values[-1]))


def in_and_out_local(recall: ArrayLike, fractions: ArrayLike) -> tuple[float, float]:
    """In-local accuracy Σ p_c A_c and out-local accuracy Σ p̃_c A_c, for class fractions p_c of a client's data.

    p̃_c = (1 - p_c) / (k - 1); as in FedNTD.

    Parameters
    ----------
    recall
        (k,) A_c, of every class on common test data; classes that are NaN (not tested) are left out.
    fractions
        (k,) p_c, fraction of each class in the client's data, or its count.
    """
    accuracy, counts = np.asarray(recall, dtype=np.float64), np.asarray(fractions, dtype=np.float64)
    if accuracy.shape != counts.shape or accuracy.ndim != 1 or len(accuracy) < 2 or not counts.sum() > 0:
        raise UsageError(
            f"expected the recall and the fraction of at least 2 classes; got shapes {accuracy.shape} and "
            f"{counts.shape} with fractions that add up to {counts.sum():g}"
        )
    inside = counts / counts.sum()
    tested = ~np.isnan(accuracy)
    weights = (inside, (1 - inside) / (len(inside) - 1))
    own, others = (
        float(np.average(accuracy[tested], weights=w[tested])) if w[tested].sum() > 0 else 0.0 for w in weights
    )
    return own, others
