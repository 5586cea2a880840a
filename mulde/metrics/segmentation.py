"""Agreement of maps of classes, pixel by pixel: intersection over union."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mulde.errors import UsageError
from mulde.metrics.classification import confusion

BACKGROUND, UNKNOWN = 0, -1
"""The class that is no object, and the label of pixels that are not counted."""


def intersection_over_union(predicted: ArrayLike, labels: ArrayLike, classes: int) -> NDArray[np.float64]:
    """tp / (tp + fp + fn) of every class, (k,); NaN for a class that is in neither map.

    Parameters
    ----------
    predicted, labels
        Class ids of one shape, for example (h, w); labels may be UNKNOWN, such pixels do not count.
    """
    answers, truth = np.asarray(predicted), np.asarray(labels)
    if answers.shape != truth.shape:
        raise UsageError(f"expected two maps of one shape; got {answers.shape} and {truth.shape}")
    known = truth != UNKNOWN
    if not known.any():
        return np.full(classes, np.nan)
    return iou_of_counts(confusion(answers[known], truth[known], classes))


def iou_of_counts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same of a confusion matrix (k, k) of pixels, for example summed over images."""
    hits = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


def mean_iou(predicted: ArrayLike, labels: ArrayLike, classes: int, background: bool = False) -> float:
    """Mean intersection over union of the classes in either map; 1 where there is none.

    Parameters
    ----------
    background
        Whether to include class 0, whose large fraction hides changes in small objects.
    """
    found = intersection_over_union(predicted, labels, classes)[0 if background else 1 :]
    occurring = found[~np.isnan(found)]
    return float(occurring.mean()) if len(occurring) else 1.0
