"""Threads and memory of this process."""

from __future__ import annotations

import atexit
import ctypes
import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mulde.errors import UsageError

_TRIM, _TOP_PAD, _MMAP = -1, -2, -3  # mallopt's names for M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Set the number of torch's threads in a block; the number from before comes back at its end, also after an error.

    Parameters
    ----------
    count
        Threads; None leaves the number as it is.

    Raises
    ------
    UsageError
        If there would be no thread.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise UsageError(f"threads must be a whole number of at least 1; got {count!r}")
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def start(keep_memory: bool = True) -> None:
    """Set up the process of a command: warnings, memory and its end. Process-wide; nothing is restored.

    Parameters
    ----------
    keep_memory
        See `keep_freed_memory`.
    """
    # geoopt's import makes torch print this warning.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    atexit.register(gc.freeze)  # Python's last search for garbage takes longer than a second with torch's objects
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
