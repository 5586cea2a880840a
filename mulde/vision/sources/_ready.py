"""From an opened source to a network that a method takes: features, own input, order of classes, frozen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from kge_data.spelling import plain
from mulde.engine import frozen
from mulde.errors import UsageError
from mulde.vision.models.adapted import Adapted, with_features
from mulde.vision.models.one_stage import AnchorDetector
from mulde.vision.models.own_classes import WithClasses
from mulde.vision.models.own_input import Input, WithOwnInput
from mulde.vision.models.staged import Features
from mulde.vision.models.two_stage import TwoStageDetector
from mulde.vision.sources._source import Source, Specification, Wanted

Report = Callable[[str], None]
USUAL_SIZE = (32, 32)
"""Size of the images of the first trial where neither side has one."""
SHOWN = 5


def teacher(found: Source, spec: Specification, wanted: Wanted, report: Report) -> nn.Module:
    """A frozen network for images and classes of the data; see `mulde.vision.sources.open_network`."""
    own = _input(found, spec)
    if own.mean is None and wanted.input.mean is not None:
        report(
            f"{wanted.role}: {spec.place} does not tell its normalisation; that of the data is used (mean=..., std=... "
            "after a comma give another)"
        )
    own = own.completed(wanted.input)
    if own.channels != wanted.input.channels and {own.channels, wanted.input.channels} == {1, 3}:
        how = "are converted to grey" if own.channels == 1 else "become three equal channels"
        report(f"{wanted.role}: {spec.place} takes {_colours(own)} images; those of the data {how} for it")
    if isinstance(found.network, AnchorDetector | TwoStageDetector):
        return frozen(_detector(found, found.network, own, wanted))
    tried = replace(own, size=own.size or wanted.input.size)
    network, features = _with_layers(found.network, spec, wanted.role, tried)
    if not _same(own, wanted.input):
        network = WithOwnInput(network, wanted.input, own)
    names = spec.options.get("classes", found.classes)
    columns = _columns(names, features.logits.shape[1], spec, wanted, report)
    return frozen(network if columns is None else WithClasses(network, columns))


def learner(found: Source, spec: Specification, wanted: Wanted, report: Report) -> nn.Module:
    """A network that learns, from the images as they are standardised for it; see `open_network`."""
    own = _input(found, spec)
    if isinstance(found.network, AnchorDetector | TwoStageDetector):
        return found.network.train()
    if own.mean is not None and not _same(replace(own, size=wanted.input.size), wanted.input):
        report(
            f"{wanted.role}: {spec.place} was trained with another normalisation; it continues with that of the data"
        )
    network, _ = _with_layers(found.network, spec, wanted.role, wanted.input)
    return network.train()


def _input(found: Source, spec: Specification) -> Input:
    """The input of a network, of which options replace parts, and channels are read from its first convolution."""
    given, own = spec.input, found.input
    convolutions = (layer.in_channels for layer in found.network.modules() if isinstance(layer, nn.Conv2d))
    channels = own.channels or next((count for count in convolutions if count in (1, 3)), None)
    scale = own if given.mean is None else given
    return Input(channels, given.size or own.size, scale.mean, scale.deviation)


def _with_layers(network: nn.Module, spec: Specification, role: str, own: Input) -> tuple[nn.Module, Features]:
    """A network that returns `Features`, with those of the layers in the options, tried on two grey images."""
    images = torch.zeros(2, own.channels or 3, *(own.size or USUAL_SIZE))
    found, features = with_features(network, role, images)
    stages, pooled = spec.options.get("stages", ()), "".join(spec.options.get("pooled", ()))
    if not (stages or pooled) or spec.kind == "onnx":  # where they are names of outputs
        return found, features
    if not isinstance(found, Adapted):
        raise UsageError(f"{role}: {spec.place} returns features of its own; leave out stages and pooled")
    return with_features(Adapted(found.module, stages, pooled), role, images)


def _columns(names: Sequence[str], count: int, spec: Specification, wanted: Wanted, report: Report) -> list[int] | None:
    """The network's column of every class of the data; None: as they are; empty: it is for other classes."""
    classes, role = wanted.classes, wanted.role
    only = "it teaches by its features only"
    if names and len(names) != count:
        raise UsageError(f"{role}: {spec.place} has {count} logits, but {len(names)} names of classes")
    if names:
        once = {name for name, times in Counter(map(_key, names)).items() if times == 1}
        columns = {_key(name): i for i, name in enumerate(names) if _key(name) in once}
        absent = [name for name in classes if _key(name) not in columns]
        if absent:
            report(
                f"{role}: {spec.place} does not have the classes {_listed(absent)} of the data; {only} (where only the "
                "names differ, classes=... after a comma gives them)"
            )
            return []
        order = [columns[_key(name)] for name in classes]
        if order == list(range(count)):
            return None
        report(f"{role}: {len(order)} of the {count} classes of {spec.place} are put in the order of the data by name")
        return order
    if count != len(classes):
        report(f"{role}: {spec.place} has {count} classes, and the data have {len(classes)}; {only}")
        return []
    report(f"{role}: {spec.place} does not name its classes; their order is taken as the data's: {_listed(classes)}")
    return None


def _detector(found: Source, network: AnchorDetector | TwoStageDetector, own: Input, wanted: Wanted) -> nn.Module:
    """A detector whose trunk has its own normalisation; sizes are those of the data, because boxes are."""
    if network.classes != len(wanted.classes) or (found.classes and found.classes != wanted.classes):
        raise UsageError(
            f"{wanted.role}: a detector of {_listed(found.classes) or network.classes}, and the data have "
            f"{_listed(wanted.classes)}; detectors teach their own classes, in the same order"
        )
    own = replace(own, size=None)
    if not _same(replace(own, size=wanted.input.size), wanted.input):
        network.trunk = WithOwnInput(network.trunk, wanted.input, own)  # type: ignore[assignment]
    return network


def _same(own: Input, data: Input) -> bool:
    """Whether images of the data are those that a network takes, up to the rounding of float32."""
    return (
        own.channels == data.channels
        and own.size in (None, data.size)
        and _close(own.mean or (0.0,), data.mean or (0.0,))
        and _close(own.deviation or (1.0,), data.deviation or (1.0,))
    )


def _colours(images: Input) -> str:
    return "grey" if images.channels == 1 else "colour"


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether values of all channels, or one for all of them, are equal."""
    width = max(len(one), len(other))
    pairs = zip(*(tuple(each) * (width // len(each)) for each in (one, other)), strict=False)
    return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in pairs)


def _key(name: str) -> str:
    """A class name without capitals, spaces, hyphens and underscores."""
    return plain(name.replace(" ", "_"))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
