"""Fusion of element-wise functions by ``torch.compile``, switched on and off for the whole process.

A training step spends half its time on starting some two hundred small operations. ``fused(function)`` is the
function itself until :func:`fuse` was called, and its compiled form afterwards; the results agree to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import TypeVar, cast

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., object])

_on = False


def fused(function: F, vectors: Tensor | None = None) -> F:
    """The function, compiled if the process fuses: once, for batches of any size.

    ``vectors`` is an argument whose last dimension never changes, which makes the compiler's loops over it faster.
    """
    if not _on:
        return function
    if vectors is not None:
        torch._dynamo.mark_static(vectors, vectors.dim() - 1)
    return _compiled(function)


def fuse() -> bool:
    """Compile from now on; False, with a warning, where the compiler does not work.

    Costs some ten seconds in all, most of them at the first training step; needs a C++ compiler on the CPU.
    """
    global _on
    try:
        _compiled(_trial)(torch.ones(2, requires_grad=True)).sum().backward()
    except Exception as error:  # whatever a compiler can do wrong: the plain functions do the same work
        warnings.warn(f"torch.compile does not work here, going on without it ({type(error).__name__})", stacklevel=2)
        return False
    _on = True
    return True


def plain() -> None:
    """Back to the functions themselves: what is computed must not depend on what the process did before."""
    global _on
    _on = False


@cache
def _compiled(function: F) -> F:
    return cast(F, torch.compile(function, dynamic=True))


def _trial(x: Tensor) -> Tensor:
    return x.exp() + x
