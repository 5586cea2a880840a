"""The process a command runs in: threads and memory, set once before the work begins."""

from __future__ import annotations

import ctypes
import warnings

import torch

from mulde.errors import UsageError

_TRIM, _TOP_PAD, _MMAP = -1, -2, -3  # mallopt's names for M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD


def start(threads: int | None, keep_memory: bool = True) -> None:
    """Set torch's threads (None: its own choice) and let glibc keep freed memory, unless told not to.

    By default glibc returns every large tensor to the kernel when it is freed, and the next step faults its pages in
    again, which can cost more than the arithmetic. On systems without mallopt nothing is changed.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1; got {threads}")
    # geoopt's import makes torch say this, to people who can do nothing about it.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
    if threads is not None:
        torch.set_num_threads(threads)
    if not keep_memory:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP, 1 << 30)
    mallopt(_TRIM, (1 << 31) - 1)
    mallopt(_TOP_PAD, 1 << 26)
