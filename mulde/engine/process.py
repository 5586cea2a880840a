"""Threads and memory of this process."""

from __future__ import annotations

import ctypes
import sys
import warnings

import torch

from mulde.errors import UsageError

_TRIM, _TOP_PAD, _MMAP = -1, -2, -3  # mallopt's names for M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD


def start(threads: int | None, keep_memory: bool = True) -> None:
    """Set up the process of a command: threads, memory, warnings. Process-wide; nothing is restored.

    Parameters
    ----------
    threads
        Threads of torch; None leaves torch's choice.
    keep_memory
        See `keep_freed_memory`.

    Raises
    ------
    UsageError
        If there would be no thread.
    """
    # geoopt's import makes torch print this warning.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    if threads is not None:
        if threads < 1:
            raise UsageError(f"threads must be at least 1; got {threads}")
        torch.set_num_threads(threads)
    if keep_memory:
        keep_freed_memory()


def peak_memory() -> int | None:
    """The most memory that this process has had so far, in bytes; None where the system does not tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for reuse. Process-wide; it cannot be undone. Without mallopt nothing changes.

    By default glibc returns every large tensor to the kernel when it is freed. The next step faults its pages in again,
    which can cost more than the arithmetic.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP, 1 << 30)
    mallopt(_TRIM, (1 << 31) - 1)
    mallopt(_TOP_PAD, 1 << 26)
