"""The classifier of a network: the linear layer that returns the logits, and what it receives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.vision.models.blocks import CosineClassifier

LINEAR = (nn.Linear, CosineClassifier)


def classifier_of(network: nn.Module) -> nn.Module:
    """The last linear layer of a network.

    Raises
    ------
    UsageError
        If the network has none, as detectors and networks for class maps.
    """
    found = [layer for layer in (getattr(network, "classifier", None), *network.modules()) if isinstance(layer, LINEAR)]
    if not found:
        raise UsageError(f"{type(network).__name__} has no linear classifier, whose input is needed")
    return found[0] if found[0] is getattr(network, "classifier", None) else found[-1]


@contextmanager
def inputs_of(layer: nn.Module, learning: bool = False) -> Iterator[list[Tensor]]:
    """A context that collects the inputs of a layer.

    Parameters
    ----------
    learning
        Whether to collect only while gradients are computed and the layer is in training mode.
    """
    taken: list[Tensor] = []

    def take(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not learning or (torch.is_grad_enabled() and module.training):
            taken.append(inputs[0])

    hook = layer.register_forward_pre_hook(take)
    try:
        yield taken
    finally:
        hook.remove()
