"""Statistics of batch normalisation, estimated anew for given weights.

`torch.optim.swa_utils.update_bn` calls the module on each batch and resets frozen networks inside it too; a method is
computed through its losses, and its frozen networks keep their statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mulde.errors import UsageError


def normalizations(module: nn.Module) -> list[_BatchNorm]:
    """The batch normalisations of a module that keep statistics and are in training mode after `module.train()`."""
    found = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    return [part for part in found if part.training]


@torch.no_grad()
def estimate_statistics(module: nn.Module, batches: Iterable[Any], forward: Callable[[Any], object]) -> None:
    """Set means and variances of all batch normalisations to their averages over batches (Izmailov et al. 2018).

    Parameters
    ----------
    module
        The network. Normalisations that stay in eval mode (in frozen networks) are left as they are. The module is
        afterwards in the mode it had before.
    batches
        The batches; their statistics have equal weights.
    forward
        Computes the network on a batch; its result is not used.

    Raises
    ------
    UsageError
        If there is no batch.
    """
    mode = module.training
    module.train()
    parts = normalizations(module)
    momenta = [part.momentum for part in parts]
    for part in parts:
        part.reset_running_stats()
        part.momentum = None  # a plain average
    empty = True
    try:
        for batch in batches if parts else ():
            forward(batch)
            empty = False
    finally:
        for part, momentum in zip(parts, momenta, strict=True):
            part.momentum = momentum
        module.train(mode)
    if parts and empty:
        raise UsageError("statistics of batch normalisation need at least one batch; the feed delivered none")


@contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """A context in which batch normalisations use the statistics of the batch but do not store them."""
    parts = normalizations(module)
    for part in parts:
        part.track_running_stats = False
    kept = [(part.running_mean, part.running_var, part.num_batches_tracked) for part in parts]
    for part in parts:
        part.running_mean = part.running_var = part.num_batches_tracked = None
    try:
        yield
    finally:
        for part, (mean, variance, number) in zip(parts, kept, strict=True):
            part.running_mean, part.running_var, part.num_batches_tracked = mean, variance, number
            part.track_running_stats = True


@contextmanager
def statistic_distances(module: nn.Module) -> Iterator[list[Tensor]]:
    """A context in which a pass measures how far batch statistics are from the stored ones.

    Each pass appends ‖mean - stored mean‖ + ‖variance - stored variance‖ for the inputs of every batch normalisation
    with statistics (DeepInversion, Yin et al. 2020, arXiv 1912.08795; variances are biased). Gradients flow to the
    inputs; the module may be frozen.

    Raises
    ------
    UsageError
        If the module has no such normalisation.
    """
    parts = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    if not parts:
        raise UsageError(
            "expected a network with statistics of batch normalisation, found none; choose another network"
        )
    found: list[Tensor] = []

    def measure(part: nn.Module, inputs: tuple[Any, ...]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1)
        mean, variance = values.mean(1), values.var(1, correction=0)
        stored: Any = part
        found.append((mean - stored.running_mean).norm() + (variance - stored.running_var).norm())

    handles = [part.register_forward_pre_hook(measure) for part in parts]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
