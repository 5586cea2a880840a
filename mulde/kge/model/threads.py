"""Work on several threads, each with its own rows and its own small buffers, instead of many threads per operation.

An operation on a block that fits the cache ends before other threads have started; a thread that keeps to its own rows
never waits. torch releases Python's lock inside its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

import torch

from kge_data.tripleset import TripleSet
from mulde.config.values import Threads, typed
from mulde.engine import process

SMALL = 10_000  # entities up to which a step is too short to be divided among threads

T = TypeVar("T")
R = TypeVar("R")


def threads_for(graph: TripleSet, count: int | None = None) -> AbstractContextManager[None]:
    """A block in which torch has the number of threads for a graph; it is restored afterwards.

    Parameters
    ----------
    graph
        The data.
    count
        Threads. None: one for a graph with fewer than 10,000 entities, otherwise as many as torch has now.

    Raises
    ------
    UsageError
        If there would be no thread.
    """
    count = typed(count, Threads | None, "`threads`")
    return process.threads(1 if count is None and graph.num_entities < SMALL else count)


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
