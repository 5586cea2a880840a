"""Evaluation of given teachers on the validation part, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.averaged import Averaged
from mulde.vision.models.initial import TEACHERS
from mulde.vision.training.chance import accuracy_above_chance
from mulde.vision.training.detection import detection_metrics
from mulde.vision.training.evaluation import has_logits

ADVICE = "check its classes and their order, its mean and std, and its input size"


def evaluate_teachers(given: Mapping[str, Any], data: Any, report: Callable[[str], None]) -> dict[str, float]:
    """Accuracy of every given teacher on the validation part, average precision for detectors; both are reported.

    A teacher that is no better than chance is reported as such, see `chance.py`.

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
    correct, above = accuracy_above_chance(network, images)
    report(f"{name}: accuracy {correct:.4f} on {int((images.labels >= 0).sum())} validation images")
    if not above:
        report(f"{name} is no better than chance on the validation images; {ADVICE}")
    return correct
