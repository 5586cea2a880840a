"""Networks that do not learn: frozen for good, or following another one as a moving average."""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def frozen(module: ModuleType) -> ModuleType:
    """The same module, for good in eval mode and without trainable parameters.

    `train(True)` has no effect on it or on a module that contains it. It is left out of checkpoints and
    weight files (only a fingerprint is kept), so whoever builds the method builds it again in the same way.
    Whether a graph is built through it is the caller's choice (`torch.no_grad`).
    The module is changed in place; to keep the original trainable, freeze a copy:
    `frozen(copy.deepcopy(network))`.
    """
    object.__setattr__(module, "_left_out_of_checkpoints", True)
    return _never_training(module)


def average_of(module: ModuleType) -> ModuleType:
    """A copy that trains only through `update_average`; unlike a frozen module it is saved in checkpoints."""
    return _never_training(copy.deepcopy(module))


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, momentum: float) -> None:
    """average = momentum * average + (1 - momentum) * module, in place, for every parameter.

    Floating point buffers are averaged as well, other buffers (counters) are copied.
    """
    if is_frozen(average):
        raise ValueError("a frozen module is not saved in checkpoints; make the average with average_of(module)")
    if not 0 <= momentum <= 1:
        raise ValueError(f"momentum is a share between 0 and 1; got {momentum}")
    theirs = dict(module.named_parameters()) | dict(module.named_buffers())
    ours = dict(average.named_parameters()) | dict(average.named_buffers())
    if theirs.keys() != ours.keys():
        raise ValueError(f"average and module differ in {sorted(theirs.keys() ^ ours.keys())}; use average_of(module)")
    for name, mine in ours.items():
        if mine.is_floating_point():
            mine.lerp_(theirs[name].to(mine.dtype), 1 - momentum)
        else:
            mine.copy_(theirs[name])


def is_frozen(module: nn.Module) -> bool:
    """Whether `frozen` was applied to this very module."""
    return bool(getattr(module, "_left_out_of_checkpoints", False))


def frozen_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of every outermost frozen module inside, `module` itself included."""
    inside: list[str] = []
    for name, candidate in module.named_modules(remove_duplicate=False):
        if is_frozen(candidate) and not any(name == outer or name.startswith(f"{outer}.") for outer in inside):
            inside.append(name)
            yield name, candidate


def _stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:
    return self


def _never_training(module: ModuleType) -> ModuleType:
    module.eval().requires_grad_(False)
    # A bound method, not a closure: copy.deepcopy then binds it to the copy.
    object.__setattr__(module, "train", types.MethodType(_stay_in_eval, module))
    return module
