"""Fusion of element-wise functions by ``torch.compile``: asked for once, for the rest of the process.

A training step spends half its time on starting some two hundred small operations. ``fused(function)`` is the
function itself until :func:`fuse` was called, and its compiled form afterwards; the results agree to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch

F = TypeVar("F", bound=Callable[..., object])

_on = False


def fused(function: F) -> F:
    """The function, compiled if the process fuses."""
    return _compiled(function) if _on else function


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


@cache
def _compiled(function: F) -> F:
    return torch.compile(function, dynamic=True)


def _trial(x: torch.Tensor) -> torch.Tensor:
    return x.exp() + x
