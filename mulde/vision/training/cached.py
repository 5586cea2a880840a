"""Outputs of a frozen network, computed once per image where the images of every epoch are the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mulde.engine.protocol import Output
from mulde.vision.data.images import ImageSet
from mulde.vision.models.staged import Features

LIMIT = 512 << 20
"""Bytes of the outputs; more are not kept, and the network is computed for every batch."""


class Outputs:
    """What a method reads of a frozen network, computed for every batch, without gradients."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, images: Tensor, rows: Tensor) -> Features:
        """Outputs for a batch.

        Parameters
        ----------
        images
            (b, channels, h, w), on the device of the network.
        rows
            (b,) numbers of the images in their set; -1 for images of a loader, which are in none.
        """
        with torch.no_grad():
            found: Features = self.network(images)
        return found


class CachedOutputs(Outputs):
    """What a method reads of a frozen network, for all images of a set that are never augmented.

    All images are computed in their order at the first batch, so that the values depend neither on the order of the
    epoch nor on an interruption. They are kept in the memory of the processor, not in checkpoints. The last bits of a
    matrix product depend on its number of rows; the network therefore always gets batches of one size, and its outputs
    are the same to the bit whether they are kept or not (on a processor, if its widths are multiples of 8).

    Parameters
    ----------
    network
        Returns `Features`.
    images
        The set of the batches.
    output
        The part of the features that is kept: logits, pooled or stages. The others are then empty.
    batch_size
        Images computed at once.
    limit
        Most bytes that are kept.
    """

    def __init__(
        self, network: nn.Module, images: ImageSet, output: Output, batch_size: int, limit: int = LIMIT
    ) -> None:
        super().__init__(network)
        self.images, self.output, self.batch_size, self.limit = images, output, batch_size, limit
        self._kept: list[Tensor] | None = None

    def __call__(self, images: Tensor, rows: Tensor) -> Features:
        """Outputs for a batch, see `Outputs`; of the features only the part that is read."""
        if len(rows) and int(rows.min()) < 0:
            return super().__call__(images, rows)
        with torch.no_grad():
            if self._kept is None and self.limit:
                self._kept = self._computed(images)
            if self._kept is None:
                parts = [self._outputs(part) for part in images.split(self.batch_size)]
                return _features([torch.cat(values) for values in zip(*parts, strict=True)])
            return _features([values[rows.cpu()].to(images.device) for values in self._kept])

    def _computed(self, like: Tensor) -> list[Tensor] | None:
        """The outputs of all images; None where they are too large, and then none are computed again."""
        whole: list[Tensor] = []
        for rows in torch.arange(len(self.images)).split(self.batch_size):
            found = self._outputs(self.images.pixels(rows).to(like))
            if not whole:
                if sum(values[0].nbytes for values in found) * len(self.images) > self.limit:
                    self.limit = 0
                    return None
                whole = [values.new_empty(len(self.images), *values.shape[1:], device="cpu") for values in found]
            for values, part in zip(whole, found, strict=True):
                values[rows] = part.cpu()
        return whole

    def _outputs(self, images: Tensor) -> list[Tensor]:
        """The part that is read for at most a batch of images, filled up with the last one."""
        absent = self.batch_size - len(images)
        filled = torch.cat([images, images[-1:].expand(absent, -1, -1, -1)]) if absent else images
        return [values[: len(images)] for values in self._read(self.network(filled))]

    def _read(self, found: Features) -> list[Tensor]:
        """The part that is read: the stages, then pooled features and logits, empty where they are not."""
        nothing = found.logits.new_empty(len(found.logits), 0)
        return [
            *(found.stages if self.output == "stages" else ()),
            found.pooled if self.output == "pooled" else nothing,
            found.logits if self.output == "logits" else nothing,
        ]


def _features(flat: list[Tensor]) -> Features:
    return Features(tuple(flat[:-2]), flat[-2], flat[-1])
