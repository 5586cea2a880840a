"""Initial weights that depend on a seed and a name, not on what else was built before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Draws inside come from torch's CPU generator seeded by (seed, name); outside nothing has changed.

    So a peer begins with the same weights whether or not it has a partner, and runs can be paired by seed.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest[:7], "big"))  # torch's own also seeds devices
        yield
