"""Work on several threads, each with its own rows and its own small buffers, instead of many threads per operation.

An operation on a block that fits the cache ends before other threads have started; a thread that keeps to its own rows
never waits. torch releases Python's lock inside its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """Results of ``work`` on each part, computed without gradient, one thread per part and one torch thread in each."""

    def one(part: T) -> R:
        with torch.no_grad():  # gradients are on in a new thread
            return work(part)

    if len(parts) == 1:
        return [one(parts[0])]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(len(parts), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(one, parts))
    finally:
        torch.set_num_threads(threads)
