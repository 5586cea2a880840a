"""Moving averages of networks (EMA)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from mulde.engine.frozen import is_frozen, never_training
from mulde.errors import UsageError

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def average_of(module: ModuleType) -> ModuleType:
    """A copy that changes only through `update_average`. Unlike a frozen module it is saved in checkpoints."""
    return never_training(copy.deepcopy(module))


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """average = momentum * average + (1 - momentum) * module, in place.

    Floating point parameters and buffers are averaged; other buffers (counters) are copied.

    Parameters
    ----------
    average
        Made by `average_of`.
    module
        The network to follow.
    momentum
        Fraction of the old average that is kept, in [0, 1].

    Raises
    ------
    UsageError
        If `average` is frozen, the momentum is outside [0, 1], or the two differ in their parameters.
    """
    if is_frozen(average):
        raise UsageError("a frozen module is not saved in checkpoints; make the average with average_of(module)")
    if not 0 <= momentum <= 1:
        raise UsageError(f"momentum is a fraction between 0 and 1; got {momentum}")
    theirs = dict(module.named_parameters()) | dict(module.named_buffers())
    ours = dict(average.named_parameters()) | dict(average.named_buffers())
    if theirs.keys() != ours.keys():
        raise UsageError(f"average and module differ in {sorted(theirs.keys() ^ ours.keys())}; use average_of(module)")
    for name, mine in ours.items():
        if mine.is_floating_point():
            mine.lerp_(theirs[name].to(mine.dtype), 1 - momentum)
        else:
            mine.copy_(theirs[name])
