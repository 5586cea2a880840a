"""Binary convolutions, whose weights and inputs are signs, and a block of them.

    x ─▶ normalisation ─▶ signs ─▶ 3x3 with signs as weights ─▶ normalisation ─▶ x gate(x) ─▶ + shortcut ─▶ PReLU

Sources: Rastegari et al. 2016, arXiv 1603.05279 (one scale for each output channel); Guo et al. 2022, arXiv 2211.12933
(BNext: attention beside the binary layer, and a surrogate of the sign that becomes steeper). The block has the parts of
BNext, not its exact order and widths. First layer, shortcuts, gates and classifier are not binary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def sign(values: Tensor, temperature: float) -> Tensor:
    """1 where values are at least 0, else -1; with the gradient of tanh(values / temperature).

    The lower the temperature, the steeper the surrogate, and the narrower the range of values that have a gradient.
    """
    hard = torch.where(values >= 0, 1.0, -1.0).to(values)
    soft = torch.tanh(values / temperature)
    return hard + (soft - soft.detach())  # the difference is exactly 0


class BinaryConvolution(nn.Conv2d):
    """A 3x3 convolution of signs of the input with signs of the weights, times the mean size of a channel's weights."""

    temperature: float = 1.0
    """Of the surrogate of the input's sign; matters in training only."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__(channels, width, 3, stride, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        clipped = self.weight.clamp(-1, 1)
        signs = torch.where(self.weight >= 0, 1.0, -1.0).to(self.weight) + (clipped - clipped.detach())
        scale = self.weight.detach().abs().mean((1, 2, 3)).view(1, -1, 1, 1)
        inputs = sign(features, self.temperature)
        return scale * functional.conv2d(inputs, signs, None, self.stride, self.padding)


class BinaryBlock(nn.Module):
    """A binary convolution with a gate for each channel and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = max(4, channels // 8)
        self.first_norm, self.binary = nn.BatchNorm2d(channels), BinaryConvolution(channels, width, stride)
        self.norm, self.active = nn.BatchNorm2d(width), nn.PReLU(width)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, width, 1), nn.Sigmoid()
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            pooling = [nn.AvgPool2d(stride, ceil_mode=True)] if stride != 1 else []
            self.shortcut = nn.Sequential(*pooling, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, features: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h / stride, w / stride)."""
        inner = self.norm(self.binary(self.first_norm(features))) * self.gate(features)
        found: Tensor = self.active(inner + self.shortcut(features))
        return found


def is_binary(network: nn.Module) -> bool:
    """Whether a network has a binary convolution."""
    return any(isinstance(part, BinaryConvolution) for part in network.modules())


@torch.no_grad()
def packed_size(network: nn.Module, images: Tensor) -> dict[str, float]:
    """Size of a network with one bit for each binary weight, and multiply-adds of a picture.

    Parameters
    ----------
    network
        Any network of convolutions and linear layers; it is in eval mode afterwards.
    images
        (b, channels, h, w); only the shape matters.

    Returns
    -------
    ``packed_MB``, with 32 bits for every other value of its state and for the scale of each binary channel;
    ``multiply_adds`` of the other convolutions and linear layers; ``binary_multiply_adds``.
    """
    found = {"packed_MB": 0.0, "multiply_adds": 0.0, "binary_multiply_adds": 0.0}
    total = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    layers = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    for layer in layers:
        if isinstance(layer, BinaryConvolution):
            total -= layer.weight.numel() * layer.weight.element_size() - layer.weight.numel() / 8
            total += 4 * layer.out_channels
    found["packed_MB"] = total / 1e6

    def count(layer: nn.Module, inputs: object, output: Tensor) -> None:
        kind = "binary_multiply_adds" if isinstance(layer, BinaryConvolution) else "multiply_adds"
        outputs = output.shape[1] if isinstance(layer, nn.Conv2d) else output.shape[-1]
        found[kind] += output[0].numel() / outputs * layer.get_parameter("weight").numel()

    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        weight = next(network.parameters(), images)
        network.eval()(images[:1].to(weight))
    finally:
        for handle in handles:
            handle.remove()
    return found
