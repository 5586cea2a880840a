"""A network of ours with new weights: `resnet20`, see `mulde.vision.models.networks`."""

from __future__ import annotations

from mulde.errors import UsageError
from mulde.vision.models import network, seeded
from mulde.vision.sources._source import Source, Specification, Wanted


def open_source(spec: Specification, wanted: Wanted) -> Source:
    """A new network for the images and classes of the data."""
    if wanted.trained:
        raise UsageError(
            f"{wanted.role}: {spec.place} would have new weights, and a {wanted.role} must be trained; give weights as "
            f"{spec.place}:PATH, or a run folder"
        )
    size, channels = wanted.input.size, wanted.input.channels or 3
    with seeded(wanted.seed, wanted.role):
        return Source(network(spec.place, len(wanted.classes), channels, size=size and size[-1]))
