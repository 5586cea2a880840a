"""The process of a verb that computes on a graph: memory, threads and device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mulde.cli._output import announce

if TYPE_CHECKING:
    from kge_data.tripleset import TripleSet


@contextmanager
def computing(graph: TripleSet, device: str, threads: int | None, keep_memory: bool = True) -> Iterator[str]:
    """Set threads and memory for a graph, print a line with device and threads, and yield the device."""
    import torch

    from mulde.engine import process
    from mulde.engine.device import resolved
    from mulde.kge.model.threads import threads_for

    process.start(keep_memory)
    place = resolved(device)
    with threads_for(graph, threads):
        count = torch.get_num_threads()
        announce(f"running on {place}, {count} thread{'s' * (count > 1)}")
        yield place
