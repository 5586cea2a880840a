"""The processes that torchrun has started together, by its environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that work together."""

    rank: int = 0
    """Number of this process, from 0."""
    size: int = 1
    """Number of processes."""
    local_size: int = 1
    """Number of processes on this machine."""


def process_group() -> ProcessGroup:
    """The group of this process; a process of its own unless torchrun's variables are complete.

    Other programs set some of them, and one of a group would neither print nor write.
    """
    words = [os.environ.get(name, "") for name in VARIABLES]
    if not all(words) or not all(word.isdecimal() for word in words[:4]):
        return ProcessGroup()
    rank, size, _, local_size = map(int, words[:4])
    return ProcessGroup(rank, size, local_size) if rank < size and local_size >= 1 else ProcessGroup()
