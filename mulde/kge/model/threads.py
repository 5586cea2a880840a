"""Work on several threads, each with its own rows and its own small buffers, instead of many threads in each operation.

An operation on a block that fits the cache is over before other threads have woken; a thread that keeps to its own
rows never waits. torch lets go of Python's lock inside its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def spread(work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """``work`` on each part, without gradient: in a thread for each, in which torch has one thread."""

    def one(part: T) -> R:
        with torch.no_grad():  # a thread begins with gradients on
            return work(part)

    if len(parts) == 1:
        return [one(parts[0])]
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(len(parts), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(one, parts))
    torch.set_num_threads(threads)
    return found
