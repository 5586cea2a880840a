"""A network of other classes: its columns put in the order of the data's classes, or its logits withheld."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mulde.vision.models.staged import Features


class WithClasses(nn.Module):
    """A network whose logits are those of other classes: chosen and ordered columns of its own, or none at all.

    Parameters
    ----------
    network
        Returns `Features`.
    columns
        The network's own column of every class; empty: its logits are withheld, and it is of use for its features only.
    """

    columns: Tensor

    def __init__(self, network: nn.Module, columns: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.widths: tuple[int, ...] = tuple(getattr(network, "widths", ()))
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64))

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w)."""
        found: Features = self.network(images)
        return found._replace(logits=found.logits[:, self.columns])
