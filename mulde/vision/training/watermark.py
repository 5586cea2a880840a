"""Watermark in the logits of a teacher of images: the pattern of a key over images, and a marked network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine.protocol import Output
from mulde.errors import UsageError
from mulde.losses.target_transforms import keyed_smoothing
from mulde.vision.models.staged import Features
from mulde.watermark import WatermarkOptions, generator, key_in, keyed_signs

SIDE, FREQUENCY = 4, 12.0
"""Rows of a pattern before it is enlarged, and how fast the carrier changes with an image's similarity to it."""
FEWEST = 3
"""Classes that a watermark needs: those beside the predicted one are compared with each other."""


def patterns(keys: list[bytes], channels: int) -> Tensor:
    """Random patterns (m, channels, 4, 4) of m keys."""
    drawn = [torch.randn(channels, SIDE, SIDE, generator=generator(key, "images")) for key in keys]
    return torch.stack(drawn)


def carriers(drawn: Tensor, images: Tensor) -> Tensor:
    """sin(12 cos(r, x)) for every pattern r, enlarged smoothly: (m, b) in [-1, 1].

    Brightness and contrast of an image make no difference, its resolution little.

    Parameters
    ----------
    drawn
        (m, channels, 4, 4) of `patterns`.
    images
        (b, channels, h, w), standardised or not.
    """
    large = functional.interpolate(drawn.to(images), images.shape[2:], mode="bilinear", align_corners=False)
    first, second = ((each - each.mean((2, 3), keepdim=True)).flatten(1) for each in (large, images))
    similarity = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T
    return (FREQUENCY * similarity).sin()


class Marked(nn.Module):
    """A frozen classifier whose logits have a watermark; what else it returns is unchanged."""

    def __init__(self, network: nn.Module, key: bytes, strength: float) -> None:
        super().__init__()
        self.network, self.key, self.strength = network, key, strength

    def forward(self, images: Tensor) -> Features:
        """images: (b, channels, h, w)."""
        found: Features = self.network(images)
        classes = found.logits.shape[1]
        if classes < FEWEST:
            raise UsageError(f"--watermark needs a teacher of {FEWEST} classes or more; this one has {classes}")
        signs = keyed_signs(self.key, "classes", classes).to(found.logits)
        marked = keyed_smoothing(
            found.logits, carriers(patterns([self.key], images.shape[1]), images)[0], signs, self.strength
        )
        return found._replace(logits=marked)


@dataclass(frozen=True, kw_only=True)
class Watermark(WatermarkOptions):
    """The option for methods on images."""

    def on(self, network: nn.Module, output: Output) -> nn.Module:
        """The network as a method reads it, with the watermark if there is a key.

        Raises
        ------
        UsageError
            If the method reads features, or the file with the key cannot be read.
        """
        if self.watermark is None:
            return network
        if output != "logits":
            raise UsageError(f"--watermark is in a teacher's logits, and the method reads its {output}; leave it out")
        return Marked(network, key_in(self.watermark), self.watermark_strength)
