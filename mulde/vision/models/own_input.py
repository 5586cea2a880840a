"""A network with its own normalisation and input size, for images that are standardised for another network.

images, standardised as the data are ─▶ pixels in [0, 1] ─▶ channels, size ─▶ own normalisation ─▶ network
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.errors import UsageError
from mulde.vision.models.staged import Features


@dataclass(frozen=True)
class Input:
    """Images as a network takes them; None where it takes what it gets."""

    channels: int | None = None
    """1 for grey, 3 for colour."""
    size: tuple[int, int] | None = None
    """Rows and columns."""
    mean: tuple[float, ...] | None = None
    """Mean of every channel that is subtracted from pixels in [0, 1]."""
    deviation: tuple[float, ...] | None = None
    """Deviation of every channel by which the difference is divided."""

    def completed(self, data: Input) -> Input:
        """This input, with the data's where it is unknown.

        Raises
        ------
        UsageError
            If mean and deviation are not of the input's channels.
        """
        mean, deviation = self.mean, self.deviation
        told = len(mean) if mean is not None and len(mean) > 1 else None
        channels = self.channels or told or data.channels
        if mean is None or deviation is None:
            mean, deviation = (_for_channels(values, channels) for values in (data.mean, data.deviation))
        for values in (mean, deviation):
            if values is not None and len(values) not in (1, channels):
                raise UsageError(f"expected mean and std of {channels} channels, got {len(values)} values")
        return Input(channels, self.size, mean, deviation)


class WithOwnInput(nn.Module):
    """A network that takes images as they are standardised for another one, and converts them to its own input.

    Images of another size are resized bilinearly with antialiasing; grey images become three equal channels, and colour
    images the mean of theirs.

    Parameters
    ----------
    network
        Returns `Features`.
    given
        Images as they come.
    own
        Images as the network takes them.

    Raises
    ------
    UsageError
        If there is no way from the given channels to the network's.
    """

    given_mean: Tensor
    given_deviation: Tensor
    own_mean: Tensor
    own_deviation: Tensor

    def __init__(self, network: nn.Module, given: Input, own: Input) -> None:
        super().__init__()
        own = own.completed(given)
        if given.channels != own.channels and {given.channels, own.channels} != {1, 3}:
            raise UsageError(f"the network takes {own.channels} channels, and the images have {given.channels}")
        self.network, self.size, self.channels = network, own.size, own.channels
        self.widths: tuple[int, ...] = tuple(getattr(network, "widths", ()))
        for name, values, neutral in (
            ("given_mean", given.mean, 0.0),
            ("given_deviation", given.deviation, 1.0),
            ("own_mean", own.mean, 0.0),
            ("own_deviation", own.deviation, 1.0),
        ):
            self.register_buffer(name, torch.tensor(values or (neutral,), dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w), standardised as the given ones."""
        pixels = images * self.given_deviation + self.given_mean
        if pixels.shape[1] != self.channels:
            pixels = pixels.mean(1, keepdim=True) if self.channels == 1 else pixels.expand(-1, 3, -1, -1)
        if self.size is not None and pixels.shape[2:] != self.size:
            pixels = functional.interpolate(pixels, self.size, mode="bilinear", antialias=True)
        return self.network((pixels - self.own_mean) / self.own_deviation)


def _for_channels(values: tuple[float, ...] | None, channels: int | None) -> tuple[float, ...] | None:
    """Values of every channel, or their mean where there are others."""
    return values if values is None or len(values) == channels else (sum(values) / len(values),)
