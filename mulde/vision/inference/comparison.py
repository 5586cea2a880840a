"""A classifier compared with another one, and on pictures that it was not made for."""

from __future__ import annotations

from typing import Any

import numpy as np

from mulde.errors import UsageError
from mulde.metrics.agreement import agreement_metrics
from mulde.metrics.out_of_distribution import detection_rows
from mulde.vision.inference.answers import Outputs
from mulde.vision.inference.evaluation import logits_of


def agreement_of(model: Outputs, images: Any, other: Outputs, others: Any) -> dict[str, float]:
    """Agreement of two classifiers on the same images, see `agreement_metrics`.

    Parameters
    ----------
    model, other
        The classifiers; their classes may be in another order.
    images, others
        The images, in the form of the input of each.

    Raises
    ------
    UsageError
        For other classes.
    """
    if set(model.classes) != set(other.classes):
        missing = sorted(set(model.classes) ^ set(other.classes))
        raise UsageError(f"--other needs a classifier of the same classes; only one of both knows {missing[0]}")
    order = [other.classes.index(name) for name in model.classes]
    return agreement_metrics(logits_of(model, images), logits_of(other, others)[:, order], images.labels.numpy())


def outside_rows(model: Outputs, images: Any, outside: Any) -> list[dict[str, Any]]:
    """How well scores of a classifier tell images from those of other classes, see `detection_rows`."""
    return detection_rows(*(np.asarray(logits_of(model, each)) for each in (images, outside)))


def expect_classifier(model: Outputs, option: str) -> None:
    """Raise UsageError for a model of another task, of which the option has no meaning."""
    if model.task != "classify":
        raise UsageError(f"{option} is for classifiers; this model's task is {model.task}; leave {option} out")
