"""Networks that never learn, and that are left out of checkpoints."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import TypeVar

from torch import nn

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def frozen(module: ModuleType) -> ModuleType:
    """The same module, permanently in eval mode and without trainable parameters.

    `train(True)` has no effect on it, directly or through a module that contains it. Gradients still flow through it to
    its inputs; use `torch.no_grad` where they are not needed. Checkpoints and weight files hold no frozen weights, only
    a fingerprint, so the caller builds the same module again to resume.

    The module is changed in place. To keep the original trainable, freeze a copy: `frozen(copy.deepcopy(network))`.
    """
    never_training(module)
    object.__setattr__(module, "_left_out_of_checkpoints", True)
    return module


def is_frozen(module: nn.Module) -> bool:
    """Whether `frozen` was applied to this very module."""
    return bool(getattr(module, "_left_out_of_checkpoints", False))


def frozen_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of every outermost frozen module, `module` itself included."""
    inside: list[str] = []
    for name, candidate in module.named_modules(remove_duplicate=False):
        if is_frozen(candidate) and not any(name == outer or name.startswith(f"{outer}.") for outer in inside):
            inside.append(name)
            yield name, candidate


def never_training(module: ModuleType) -> ModuleType:
    """The same module, permanently in eval mode and without trainable parameters; saved in checkpoints."""
    module.eval().requires_grad_(False)
    object.__setattr__(module, "_left_out_of_checkpoints", False)  # a copy of a frozen module has its mark
    # A bound method, not a closure: copy.deepcopy then binds it to the copy.
    object.__setattr__(module, "train", types.MethodType(_stay_in_eval, module))
    return module


def _stay_in_eval(self: nn.Module, mode: bool = True) -> nn.Module:
    return self
