"""Initial networks of a method by role: a seeded new network, or a copy of the one that was given."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import nn

from mulde.engine import frozen
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.models import StagedNetwork, network, seeded
from mulde.vision.models.one_stage import AnchorDetector, DetectorShape

TEACHERS = ("teacher", "teachers")
"""Roles whose networks are trained already when they are given; they are read, and never trained."""


def by_role(
    given: Mapping[str, Any], new: Mapping[str, Callable[[], nn.Module]], *, teachers: Collection[str] = ()
) -> dict[str, Any]:
    """Networks of a method by role.

    Parameters
    ----------
    given
        Trained or initial networks by role; a list of modules where a role has several. They are copied.
    new
        For every role of the method, a function that makes its network.
    teachers
        Roles whose given networks are trained already: their copies are frozen, so that `run` does not train them.
    """
    found: dict[str, Any] = {}
    for role, make in new.items():
        if role not in given:
            found[role] = make()
            continue
        own = copy.deepcopy(given[role])
        own = nn.ModuleList(own) if isinstance(own, list | tuple) else own
        found[role] = frozen(own) if role in teachers else own
    return found


def classifier(role: str, name: str, split: Split, channels: int, *, cosine: bool = False) -> StagedNetwork:
    """A new network for the images and classes of a split.

    Parameters
    ----------
    role
        Seeds the weights together with the seed of the split.
    name
        Architecture, see `mulde.vision.models.networks`.
    split
        Images and classes.
    channels
        Channels of a residual network's first stage.
    cosine
        Whether the classifier is a cosine classifier.
    """
    with seeded(split.seed, role):
        return network_for(split, name, channels, cosine=cosine)


def network_for(split: Split, name: str, channels: int, *, cosine: bool = False) -> StagedNetwork:
    """As `classifier`, with weights from the present random state, for networks that are drawn with their heads."""
    images, size = split.train, split.train.images.shape[-1]
    return network(name, split.classes, images.channels, channels=channels, cosine=cosine, size=size)


def anchor_detector(role: str, name: str, split: Split[DetectionSet], shape: DetectorShape) -> AnchorDetector:
    """A new detector with this trunk for the images and classes of a split; see `classifier`."""
    with seeded(split.seed, role):
        trunk = network(name, 1, split.train.channels, channels=shape.channels)
        return AnchorDetector(
            trunk,
            split.classes,
            width=shape.width,
            anchor_scale=shape.anchor_scale,
            stages=shape.stages,
            extra=shape.extra,
            tower=shape.tower,
        )
