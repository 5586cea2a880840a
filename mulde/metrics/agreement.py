"""Agreement of two classifiers on the same examples (Stanton et al. 2021, arXiv 2106.05945)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from mulde.errors import UsageError


def agreement_metrics(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """How often two classifiers predict the same class, how far their probabilities are apart, and who is right.

    Parameters
    ----------
    first, second
        Logits (n, k) of the same classes in the same order.
    labels
        (n,) class ids.

    Returns
    -------
    ``agreement``, the fraction of examples with the same prediction; ``kl``, the mean KL(first ‖ second) of the
    probabilities in nats; and the fractions ``both_right``, ``first_right``, ``second_right`` (only one of them), and
    ``none_right``.

    Raises
    ------
    UsageError
        If the shapes differ.
    """
    one, two, truth = np.asarray(first, np.float64), np.asarray(second, np.float64), np.asarray(labels)
    if one.shape != two.shape or one.ndim != 2 or truth.shape != one.shape[:1] or not len(truth):
        raise UsageError(
            f"expected logits (n, k) of two classifiers and n labels; got shapes {one.shape}, {two.shape} and "
            f"{truth.shape}"
        )
    predicted, other = one.argmax(1), two.argmax(1)
    right, also = predicted == truth, other == truth
    logs, theirs = log_softmax(one, 1), log_softmax(two, 1)
    return {
        "agreement": float((predicted == other).mean()),
        "kl": float((np.exp(logs) * (logs - theirs)).sum(1).mean()),
        "both_right": float((right & also).mean()),
        "first_right": float((right & ~also).mean()),
        "second_right": float((~right & also).mean()),
        "none_right": float((~right & ~also).mean()),
    }
