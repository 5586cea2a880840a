"""Stochastic depth per image: each image of a batch skips residual blocks at random.

    x ──┬── rows that are kept ─▶ block ─▶ block(x) - x, divided by 1 - rate ──┐
        └──────────────────────────────────────────────────────────────────────┴─▶ + at these rows

A block is computed for the kept rows only, so that computation falls with the rate. The network itself is not changed:
its blocks are replaced within a context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models.blocks import Bottleneck, Preactivated, Residual

OTHERS = ("BasicBlock", "Bottleneck")
"""Names of residual blocks of torchvision and timm; their attribute `downsample` is None where the shape is kept."""


def residual_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks x ↦ x + f(x) of a network that keep the shape, from shallow to deep.

    These are our residual blocks, those of torchvision and timm, and modules with an attribute ``is_residual`` that is
    True, as the blocks of our vision transformers. In the blocks of ResNets a ReLU follows the sum, and x is not
    negative.

    Raises
    ------
    UsageError
        If there are none.
    """
    found = [module for module in network.modules() if _keeps_shape(module)]
    if not found:
        raise UsageError(
            f"stochastic depth skips residual blocks that keep their shape, and {type(network).__name__} has none; "
            "choose a residual network or a transformer, for example resnet20, wrn-16-2 or deit-64-4-2-patch4"
        )
    return found


def _keeps_shape(module: nn.Module) -> bool:
    if isinstance(module, Residual | Bottleneck):
        return isinstance(module.shortcut, nn.Identity)
    if isinstance(module, Preactivated):
        return module.shortcut is None
    if type(module).__name__ in OTHERS:
        return getattr(module, "downsample", module) is None
    return getattr(module, "is_residual", False) is True


def _ends_in_relu(module: nn.Module) -> bool:
    return isinstance(module, Residual | Bottleneck) or type(module).__name__ in OTHERS


def kept_rows(block: Callable[[Tensor], Tensor], rate: float, relu: bool, features: Tensor) -> Tensor:
    """The output (b, ...) of a residual block that is computed for a random part of the rows.

    Parameters
    ----------
    block
        x ↦ x + f(x), of rows of any number. It is not called for fewer than two rows, of which batch normalisation may
        have no statistics.
    rate
        Probability that a row skips the block, in [0, 1]. f(x) of the other rows is divided by 1 - rate.
    relu
        Whether the block is x ↦ relu(x + f(x)) with x >= 0. The ReLU then follows the sum with the larger f(x).
    features
        (b, ...)
    """
    rows = (torch.rand(len(features), device=features.device) >= rate).nonzero().squeeze(1)
    if len(rows) < 2:
        return features
    kept = features[rows]
    found = kept + (block(kept) - kept) / (1 - rate)
    return features.index_copy(0, rows, found.relu() if relu else found)


@contextmanager
def stochastic_depth(blocks: Sequence[nn.Module], rate: float) -> Iterator[None]:
    """A context in which every row of a batch skips each block with this probability; 0 changes nothing.

    Parameters
    ----------
    blocks
        See `residual_blocks`. Each is used as `kept_rows` says; 1 removes them.
    """
    chosen = blocks if rate else ()
    for block in chosen:
        block.forward = partial(kept_rows, block.forward, rate, _ends_in_relu(block))
    try:
        yield
    finally:
        for block in chosen:
            del block.forward
