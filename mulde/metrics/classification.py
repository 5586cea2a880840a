"""Accuracy of classifiers: overall, per class, and in groups of frequent and rare classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mulde.errors import UsageError

MANY, FEW = 100, 20
"""More training images than MANY make a class frequent, fewer than FEW rare (the bounds of ImageNet-LT)."""


def confusion(predicted: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Confusion matrix (k, k): at [i, j] how often class j was predicted for label i.

    Parameters
    ----------
    predicted, labels
        (n,) class ids.

    Raises
    ------
    UsageError
        For an id outside 0 ... classes - 1.
    """
    answers, truth = _ids(predicted, labels, classes)
    return np.bincount(truth * classes + answers, minlength=classes**2).reshape(classes, classes)


def accuracy(predicted: ArrayLike, labels: ArrayLike) -> float:
    """Fraction of right predictions (top-1); class ids (n,) each."""
    answers, truth = _ids(predicted, labels)
    return float((answers == truth).mean())


def per_class(predicted: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Recall of every class (k,); NaN for a class that does not occur among the labels."""
    counts = confusion(predicted, labels, classes)
    occurs = counts.sum(1)
    return np.where(occurs > 0, counts.diagonal() / np.maximum(occurs, 1), np.nan)


def balanced_accuracy(predicted: ArrayLike, labels: ArrayLike, classes: int) -> float:
    """Mean recall over the classes that occur."""
    return float(np.nanmean(per_class(predicted, labels, classes)))


def many_medium_few(
    predicted: ArrayLike, labels: ArrayLike, train_counts: ArrayLike, many: int = MANY, few: int = FEW
) -> dict[str, float]:
    """Mean recall of the classes with many, a medium number of, and few training images.

    Parameters
    ----------
    train_counts
        (k,) training images per class. A group without a class that occurs is left out.
    """
    counts = np.asarray(train_counts)
    recall = per_class(predicted, labels, len(counts))
    groups = {"many": counts > many, "medium": (counts <= many) & (counts >= few), "few": counts < few}
    inside = {name: recall[mask & ~np.isnan(recall)] for name, mask in groups.items()}
    return {name: float(values.mean()) for name, values in inside.items() if len(values)}


def _ids(
    predicted: ArrayLike, labels: ArrayLike, classes: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    answers, truth = np.asarray(predicted), np.asarray(labels)
    if answers.shape != truth.shape or truth.ndim != 1 or not len(truth):
        raise UsageError(
            f"expected as many predictions as labels, at least one; got shapes {answers.shape} and {truth.shape}"
        )
    for name, ids in (("predictions", answers), ("labels", truth)):
        if classes is not None and (ids.min() < 0 or ids.max() >= classes):
            raise UsageError(f"{name} should be from 0 to {classes - 1}; got {ids.min()} to {ids.max()}")
    return answers.astype(np.int64), truth.astype(np.int64)
