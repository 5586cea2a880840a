"""Compilation of element-wise functions by ``torch.compile``, off by default.

A training step spends half its time on starting some two hundred small operations, which a compiled function fuses.
``compiled(function)`` is the function itself while compilation is off, and its compiled form while it is on; the
results agree to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar, cast

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., object])

_enabled = False


def compiled(function: F, vectors: Tensor | None = None) -> F:
    """Return the function, compiled for batches of any size while compilation is on.

    Parameters
    ----------
    function
        A function of tensors.
    vectors
        An argument of it whose last dimension never changes, which makes the compiler's loops over it faster.
    """
    if not _enabled:
        return function
    if vectors is not None:
        torch._dynamo.mark_static(vectors, vectors.dim() - 1)
    return _compile(function)


def enable() -> bool:
    """Switch compilation on for the process; False, with a warning, where the compiler does not work.

    Costs some ten seconds in all, most of them at the first training step; needs a C++ compiler on the CPU.
    """
    global _enabled
    try:
        _compile(_trial)(torch.ones(2, requires_grad=True)).sum().backward()
    except Exception as error:  # compilers fail in many ways; the functions themselves give the same results
        warnings.warn(f"torch.compile does not work here, going on without it ({type(error).__name__})", stacklevel=2)
        return False
    _enabled = True
    return True


@contextmanager
def compilation(wanted: bool) -> Iterator[bool]:
    """Switch compilation on or off inside a ``with`` block and restore it afterwards.

    Yields
    ------
    Whether compilation is on: False also where the compiler does not work.
    """
    global _enabled
    before, _enabled = _enabled, False
    try:
        yield wanted and enable()
    finally:
        _enabled = before


@cache
def _compile(function: F) -> F:
    return cast(F, torch.compile(function, dynamic=True))


def _trial(x: Tensor) -> Tensor:
    return x.exp() + x
