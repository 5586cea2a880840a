"""Augmentation whose strengths and probabilities are parameters; gradients reach them through the images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def _affine(images: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Images (b, channels, h, w) under the matrices ((a, b, x), (c, d, y)), whose entries are (b,)."""
    matrix = torch.stack([a, b, x, c, d, y], 1).view(-1, 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def _moved(images: Tensor, *, x: Tensor | float = 0.0, y: Tensor | float = 0.0, turn: Tensor | float = 0.0) -> Tensor:
    zero = images.new_zeros(len(images))
    angle = zero + turn
    return _affine(images, angle.cos(), -angle.sin(), angle.sin(), angle.cos(), zero + x, zero + y)


def _sheared(images: Tensor, x: Tensor | float, y: Tensor | float) -> Tensor:
    zero = images.new_zeros(len(images))
    return _affine(images, zero + 1, zero + x, zero + y, zero + 1, zero, zero)


def _blended(images: Tensor, base: Tensor, strength: Tensor) -> Tensor:
    """Away from `base` for a positive strength, towards it for a negative one."""
    return base + (images - base) * (1 + strength.view(-1, 1, 1, 1))


Change = Callable[[Tensor, Tensor], Tensor]
"""(images (b, channels, h, w) in [0, 1], strengths (b,) of either sign) -> images."""

CHANGES: dict[str, tuple[float, Change]] = {
    "rotate": (0.7, lambda images, s: _moved(images, turn=s)),
    "translate_x": (0.5, lambda images, s: _moved(images, x=s)),
    "translate_y": (0.5, lambda images, s: _moved(images, y=s)),
    "shear_x": (0.5, lambda images, s: _sheared(images, s, 0.0)),
    "shear_y": (0.5, lambda images, s: _sheared(images, 0.0, s)),
    "brightness": (0.9, lambda images, s: _blended(images, torch.zeros_like(images), s)),
    "contrast": (0.9, lambda images, s: _blended(images, images.mean((1, 2, 3), keepdim=True), s)),
    "colour": (0.9, lambda images, s: _blended(images, images.mean(1, keepdim=True), s)),
    "sharpness": (0.9, lambda images, s: _blended(images, functional.avg_pool2d(images, 3, 1, 1), s)),
}
"""Changes of images with their greatest strength: radians, halves of the image's size, or a fraction."""


class LearnedAugmentation(nn.Module):
    """x + Σ g_i (change_i(x; ± m_i) - x) over a few changes that are drawn for every batch.

    The sign and the gate g_i, a relaxed Bernoulli sample of probability p_i, are drawn for every image.

    Parameters
    ----------
    scale
        Mean and deviation by which the images were standardised; None: they are in [0, 1].
    drawn
        Changes of a batch.
    names
        The changes.
    temperature
        Of the relaxed samples; towards 0 they are 0 or 1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        scale: tuple[Tensor, Tensor] | None,
        drawn: int = 4,
        names: tuple[str, ...] = tuple(CHANGES),
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        mean, deviation = scale or (torch.zeros(1), torch.ones(1))
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.names, self.drawn, self.temperature = names, min(drawn, len(names)), temperature
        self.strength = nn.Parameter(torch.zeros(len(names)))
        """(c,) logits of the strengths, as fractions of the greatest ones."""
        self.probability = nn.Parameter(torch.zeros(len(names)))
        """(c,) logits of the probabilities."""

    def forward(self, images: Tensor) -> Tensor:
        """Changed images; random numbers are torch's."""
        pixels = images * self.deviation + self.mean
        found, uniform = pixels, torch.rand(2, len(self.names), len(images), device=images.device, dtype=images.dtype)
        for i in torch.randperm(len(self.names))[: self.drawn].tolist():
            greatest, change = CHANGES[self.names[i]]
            sign = (uniform[0, i] < 0.5).to(images) * 2 - 1
            noise = torch.logit(uniform[1, i], eps=1e-6)
            gate = ((self.probability[i] + noise) / self.temperature).sigmoid().view(-1, 1, 1, 1)
            found = found + gate * (change(pixels, sign * greatest * self.strength[i].sigmoid()) - pixels)
        return (found.clamp(0, 1) - self.mean) / self.deviation

    def policy(self) -> dict[str, float]:
        """Strength times probability of each change, in [0, 1]."""
        values = self.strength.detach().sigmoid() * self.probability.detach().sigmoid()
        return dict(zip(self.names, values.tolist(), strict=True))
