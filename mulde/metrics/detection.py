"""Average precision of detections, in COCO's definition.

Per class and threshold: detections, best first, are matched with the free object of their image that they overlap most,
if by at least the threshold. Precision, made non-increasing, is read at 101 levels of recall. The tests compare it with
pycocotools (all areas, at most 100 detections per image, no crowds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
LEVELS = np.linspace(0, 1, 101)
MOST = 100
"""Detections of one class that count in one image."""

Floats = NDArray[np.float64]


class Objects(NamedTuple):
    """Objects in an image, true or detected."""

    boxes: Floats
    """(n, 4) left, top, right, bottom."""
    labels: NDArray[np.int64]
    """(n,)"""
    scores: Floats | None = None
    """(n,) of detections."""


def average_precision(
    found: Sequence[Objects], true: Sequence[Objects], classes: int, thresholds: Floats = THRESHOLDS
) -> Floats:
    """AP (classes, thresholds); NaN for a class without an object.

    Parameters
    ----------
    found
        The detections of every image, with scores.
    true
        The objects of the same images.
    """
    if len(found) != len(true):
        raise UsageError(f"expected detections for each of {len(true)} images, got {len(found)}")
    return np.stack([_of_class(found, true, label, thresholds) for label in range(classes)])


def coco_metrics(found: Sequence[Objects], true: Sequence[Objects], classes: int) -> dict[str, float]:
    """ap (mean over thresholds .5 to .95), ap50 and ap75, each the mean over classes that occur."""
    table = average_precision(found, true, classes)
    occurs = ~np.isnan(table[:, 0])
    means = table[occurs].mean(0) if occurs.any() else np.full(len(THRESHOLDS), np.nan)
    return {"ap": float(means.mean()), "ap50": float(means[0]), "ap75": float(means[5])}


def overlaps(first: Floats, second: Floats) -> Floats:
    """IoU (n, m) of boxes (n, 4) and (m, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def _of_class(found: Sequence[Objects], true: Sequence[Objects], label: int, thresholds: Floats) -> Floats:
    scores, hits, count = [], [], 0
    for guess, truth in zip(found, true, strict=True):
        assert guess.scores is not None, "detections have scores"
        rows = np.flatnonzero(guess.labels == label)
        rows = rows[np.argsort(-guess.scores[rows], kind="stable")][:MOST]
        objects = truth.boxes[truth.labels == label]
        count += len(objects)
        scores.append(guess.scores[rows])
        hits.append(_matched(overlaps(guess.boxes[rows], objects), thresholds))
    if not count:
        return np.full(len(thresholds), np.nan)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.concatenate(hits)[order].cumsum(0)  # (detections, thresholds)
    recall, precision = right / count, right / np.arange(1, len(order) + 1)[:, None]
    precision = np.maximum.accumulate(precision[::-1], 0)[::-1]
    precision = np.concatenate([precision, np.zeros((1, len(thresholds)))])  # recall that is never reached
    columns = range(len(thresholds))
    return np.array([precision[np.searchsorted(recall[:, i], LEVELS), i].mean() for i in columns])


def _matched(overlap: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """Which detections (n, thresholds), best first, are matched with an object; overlap: (n, objects)."""
    hits = np.zeros((len(overlap), len(thresholds)), bool)
    if overlap.size:
        for column, threshold in enumerate(thresholds):
            free = np.ones(overlap.shape[1], bool)
            for row, own in enumerate(overlap):
                best = int(np.where(free, own, -1.0).argmax())
                if free[best] and own[best] >= threshold:
                    hits[row, column], free[best] = True, False
    return hits
