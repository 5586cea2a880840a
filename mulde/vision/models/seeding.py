"""Initial weights that depend on a seed and a name only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """A context in which torch's CPU generator is seeded by (seed, name); its state is restored afterwards.

    A peer then has the same initial weights with and without a partner, and runs can be paired by seed.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest[:7], "big"))  # torch's own also seeds devices
        yield
