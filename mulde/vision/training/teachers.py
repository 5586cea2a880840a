"""Evaluation of given teachers on the validation part, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.averaged import Averaged
from mulde.vision.models.initial import TEACHERS
from mulde.vision.training.detection import detection_metrics
from mulde.vision.training.evaluation import has_logits, predicted_classes

LEVEL = 0.01
"""Level of the one-sided test of a teacher against chance."""
ADVICE = "check its classes and their order, its mean and std, and its input size"


def evaluate_teachers(given: Mapping[str, Any], data: Any, report: Callable[[str], None]) -> dict[str, float]:
    """Accuracy of every given teacher on the validation part, average precision for detectors; both are reported.

    A teacher that is no better than chance is reported as such, see `better_than_chance`.

    Parameters
    ----------
    given
        Networks by role, as `prepared` returns them.
    data
        A split; without a validation part nothing is evaluated.
    report
        Receives a sentence for every teacher.
    """
    if not isinstance(data, Split) or not len(data.valid):
        return {}
    found: dict[str, float] = {}
    for name, network in _named(given):
        if isinstance(data.valid, DetectionSet):
            found[name] = detection_metrics(network, data.valid)["ap"]
            report(f"{name}: average precision {found[name]:.4f} on {len(data.valid)} validation images")
        elif not has_logits(network, data.valid):
            report(f"{name}: its classes are not those of the data; it teaches by its features")
        else:
            found[name] = _accuracy(name, network, data.valid, report)
    return found


def better_than_chance(predicted: Tensor, labels: Tensor) -> bool:
    """Whether predictions agree with labels more often than by chance: binomial test, one-sided, level .01.

    Chance is the expected agreement if predictions and labels, both with their own frequencies, were independent; a
    teacher that always predicts the most frequent class is therefore no better.

    Parameters
    ----------
    predicted, labels
        (n,) int64.
    """
    classes = int(max(predicted.max(), labels.max())) + 1
    shares = [torch.bincount(values, minlength=classes).double() / len(values) for values in (predicted, labels)]
    chance = float((shares[0] * shares[1]).sum())
    correct = int((predicted == labels).sum())
    return bool(chance < 1 and binomtest(correct, len(labels), chance, "greater").pvalue < LEVEL)


def _named(given: Mapping[str, Any]) -> Iterator[tuple[str, nn.Module]]:
    for role in TEACHERS:
        if role not in given:
            continue
        each = list(given[role]) if isinstance(given[role], list | tuple) else [given[role]]
        if isinstance(each[0], Averaged):
            yield "mean of the teachers", each[0]
            each = list(each[0].networks)
        yield from ((f"teacher {i}" if len(each) > 1 else "teacher", network) for i, network in enumerate(each, 1))


def _accuracy(name: str, network: nn.Module, images: ImageSet, report: Callable[[str], None]) -> float:
    known = images.labels >= 0
    predicted, labels = predicted_classes(network, images)[known], images.labels[known]
    correct = float((predicted == labels).double().mean())
    report(f"{name}: accuracy {correct:.4f} on {len(labels)} validation images")
    if not better_than_chance(predicted, labels):
        report(f"{name} is no better than chance on the validation images; {ADVICE}")
    return correct
