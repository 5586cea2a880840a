"""Queries, keys and values inside the attention of a vision transformer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models.transformer import Attention


class Tap(NamedTuple):
    """A layer that computes queries, keys and values together."""

    layer: nn.Module
    """(b, n, d) -> (b, n, 3d): queries, keys, values, each divided into heads."""
    heads: int
    """Number of heads."""


class Attended(NamedTuple):
    """Queries, keys and values, each (b, heads, n, width of a head)."""

    query: Tensor
    key: Tensor
    value: Tensor


def taps(network: nn.Module) -> list[Tap]:
    """The attention of every block, from shallow to deep, of our transformers and those of timm.

    Raises
    ------
    UsageError
        If the network has none.
    """
    found = []
    for module in network.modules():
        if isinstance(module, Attention):
            found.append(Tap(module.joint, module.heads))
        elif isinstance(layer := getattr(module, "qkv", None), nn.Module):
            found.append(Tap(layer, int(getattr(module, "num_heads", 1))))
    if not found:
        raise UsageError("expected a vision transformer, such as vit-tiny-patch16; found a network without attention")
    return found


@contextmanager
def tapped(tap: Tap) -> Iterator[list[Attended]]:
    """A context in which every pass appends the queries, keys and values of one attention."""
    found: list[Attended] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        b, n, triple = output.shape
        parts = output.view(b, n, 3, tap.heads, triple // (3 * tap.heads)).permute(2, 0, 3, 1, 4)
        found.append(Attended(*parts))

    handle = tap.layer.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
