"""Untrained networks of a method: their weights follow the seed of the split and their role."""

from __future__ import annotations

from typing import Any

from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.models import StagedNetwork, network, seeded
from mulde.vision.models.detector import AnchorDetector


def classifier(role: str, name: str, split: Split, channels: int, *, cosine: bool = False) -> StagedNetwork:
    """A network for the images and classes of a split. channels: of a residual network's first stage."""
    with seeded(split.seed, role):
        images, size = split.train, split.train.images.shape[-1]
        return network(name, split.classes, images.channels, channels=channels, cosine=cosine, size=size)


def anchor_detector(role: str, name: str, split: Split[DetectionSet], *, channels: int, **shape: Any) -> AnchorDetector:
    """A detector with this trunk for the images and classes of a split. shape: as `AnchorDetector` takes it."""
    with seeded(split.seed, role):
        trunk = network(name, 1, split.train.channels, channels=channels)
        return AnchorDetector(trunk, split.classes, **shape)
