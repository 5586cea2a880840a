"""Outputs of a frozen network, computed once per image where the images of every epoch are the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mulde.engine.protocol import Output
from mulde.vision.data.images import ImageSet
from mulde.vision.models.staged import Features

LIMIT = 512 << 20
"""Bytes of the outputs; more are not kept, and the network is computed for every batch."""
ROWS = 256
"""Images computed at once."""


class CachedOutputs:
    """What a method reads of a frozen network, for all images of a set that are never augmented.

    All images are computed in their order at the first batch, so that the values depend neither on the order of the
    epoch nor on an interruption. They are kept in the memory of the processor, not in checkpoints.

    Parameters
    ----------
    network
        Returns `Features`.
    images
        The set of the batches.
    output
        The part of the features that is kept: logits, pooled or stages. The others are then empty.
    limit
        Most bytes; with more, every batch is computed. 0 for images that are augmented.
    """

    def __init__(self, network: nn.Module, images: ImageSet, output: Output, limit: int = LIMIT) -> None:
        self.network, self.images, self.output, self.limit = network, images, output, limit
        self._kept: Features | None = None

    def __call__(self, images: Tensor, rows: Tensor) -> Features:
        """Outputs for a batch, without gradients.

        Parameters
        ----------
        images
            (b, channels, h, w), on the device of the network.
        rows
            (b,) numbers of the images in the set.
        """
        with torch.no_grad():
            if self._kept is None and self.limit:
                self._kept = self._computed(images)
            if self._kept is None:
                return self.network(images)
            chosen = [values[rows.cpu()].to(images.device) for values in _flat(self._kept)]
        return _features(chosen)

    def _computed(self, like: Tensor) -> Features | None:
        """The outputs of all images; None where they are too large, and then none are computed again."""
        whole: list[Tensor] = []
        for rows in torch.arange(len(self.images)).split(ROWS):
            found = self._read(self.network(self.images.pixels(rows).to(like)))
            if not whole:
                if sum(values[0].nbytes for values in found) * len(self.images) > self.limit:
                    self.limit = 0
                    return None
                whole = [values.new_empty(len(self.images), *values.shape[1:], device="cpu") for values in found]
            for values, part in zip(whole, found, strict=True):
                values[rows] = part.cpu()
        return _features(whole)

    def _read(self, found: Features) -> list[Tensor]:
        """The part that is read: the stages, then pooled features and logits, empty where they are not."""
        nothing = found.logits.new_empty(len(found.logits), 0)
        return [
            *(found.stages if self.output == "stages" else ()),
            found.pooled if self.output == "pooled" else nothing,
            found.logits if self.output == "logits" else nothing,
        ]


def _flat(found: Features) -> list[Tensor]:
    return [*found.stages, found.pooled, found.logits]


def _features(flat: list[Tensor]) -> Features:
    return Features(tuple(flat[:-2]), flat[-2], flat[-1])
