"""Protocols of feeds and batches, and passes over a feed that can be resumed in the middle.

A feed is any iterable of batches that can be iterated once per epoch: a list, a DataLoader, an object with `__iter__`.
A feed may do more; each optional capability is one of the protocols below. An attribute whose name is almost that of a
capability is refused, as it would be ignored.

A feed that is not `Resumable` is resumed by repeating the pass with the same random numbers and skipping the batches
that were delivered. This is exact if the order depends only on `set_epoch` and on the random state at the start of the
pass.
"""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch

from mulde.engine.device import random_state, restore_random_state
from mulde.errors import UsageError


@runtime_checkable
class Batch(Protocol):
    """A batch of a feed that divides its batches among processes. All other batches can be anything."""

    @property
    def weight(self) -> float:
        """Examples of this process's part over the mean number of all parts; 1 for equal parts.

        Weighted so, the mean of the processes' gradients is the gradient of the whole batch.
        """


@runtime_checkable
class Feed(Protocol):
    """Batches, iterated once per epoch."""

    def __iter__(self) -> Iterator[Any]:
        """The batches of one epoch."""


@runtime_checkable
class PerEpoch(Protocol):
    """A feed whose epochs differ."""

    def set_epoch(self, epoch: int) -> None:
        """Prepare an epoch; called before every pass. Epochs are counted from 0."""


@runtime_checkable
class Resumable(Protocol):
    """A feed that saves and restores its position."""

    def state_dict(self) -> dict[str, Any]:
        """The position as tensors and plain values.

        It is read while the feed waits at a `yield`, so it counts the batch just delivered.
        """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position inside a pass; the next iteration delivers the rest of the pass."""


@runtime_checkable
class Seeded(Protocol):
    """A feed that draws from a random generator of its own, as a DataLoader may."""

    generator: torch.Generator | None
    """The generator; its state is saved in checkpoints."""


@runtime_checkable
class Divisible(Protocol):
    """A feed that divides every batch among processes; its batches have a `weight`, see `Batch`.

    A feed that cannot be divided has no `divide`. With several processes it delivers equal parts by other means (a
    DistributedSampler for example) or every process trains on whole batches.
    """

    def divide(self, rank: int, processes: int) -> None:
        """From now on deliver the part of process `rank` of each batch; every process gets the same number of batches.

        Raises an error if the feed allows one process only.
        """


@runtime_checkable
class WholePasses(Protocol):
    """A feed that says whether its passes can be continued within a pass."""

    whole_passes: bool
    """True: the order within a pass cannot be repeated, so that checkpoints fall on ends of epochs."""


CAPABILITIES = {"set_epoch", "state_dict", "load_state_dict", "generator", "divide", "whole_passes"}
ALIKE = 0.83  # similarity from which a name counts as misspelt: "devide" is, "generate" is not


class Passes:
    """One feed, pass after pass.

    Parameters
    ----------
    feed
        The batches.
    rank, processes
        Which of how many processes this is.
    group
        Batches of one update; the last update of a pass may have fewer.

    Raises
    ------
    UsageError
        If the feed cannot be iterated, or has an attribute that the engine would misread or ignore.
    """

    def __init__(self, feed: Feed, rank: int = 0, processes: int = 1, group: int = 1) -> None:
        _check(feed)
        self._feed, self._group = feed, group
        self._resumable = isinstance(feed, Resumable)
        self.continuable = not (isinstance(feed, WholePasses) and feed.whole_passes)
        """Whether a pass can be continued where it was interrupted."""
        self._divided = False
        if processes > 1 and isinstance(feed, Divisible):
            feed.divide(rank, processes)
            self._divided = True
        self._at_beginning: dict[str, Any] = {}
        self._saved: dict[str, Any] | None = None

    @property
    def feed(self) -> Feed:
        """The feed itself."""
        return self._feed

    @property
    def length(self) -> int | None:
        """Updates per pass, or None if the feed has no length."""
        try:
            return -(-len(self._feed) // self._group)  # type: ignore[arg-type]
        except TypeError:
            return None

    def run(self, epoch: int, done: int) -> Iterator[list[Any]]:
        """The batches of each update of one pass; `done` updates were made before an interruption."""
        saved, self._saved = self._saved, None
        inside = saved is not None and done > 0
        if saved is not None:
            self._restore_random(saved["at_beginning"] if inside else saved["now"])
        self._at_beginning = self._random()
        if isinstance(self._feed, PerEpoch):
            self._feed.set_epoch(epoch)
        if saved is not None and inside and done == self.length:  # interrupted after the last batch: nothing is left
            self._restore_random(saved["now"])
            return
        if saved is not None and inside and isinstance(self._feed, Resumable):
            self._feed.load_state_dict(saved["position"])
        iterator = iter(self._feed)
        if saved is not None and inside:
            if not self._resumable:
                for _ in range(done * self._group):
                    next(iterator, None)
            self._restore_random(saved["now"])
        delivered = done
        while batches := list(itertools.islice(iterator, self._group)):
            delivered += 1
            yield batches
        if not delivered and not self._resumable:  # a feed that reacts to the method may have nothing to deliver
            raise UsageError(
                f"the feed delivered no batch in epoch {epoch + 1}; it is empty, or an iterator that "
                "can be read only once: pass something that can be iterated again"
            )

    def again(self, epoch: int) -> Iterator[Any]:
        """The batches of a pass once more. Position and random states are afterwards as they were before."""
        now = self._random()
        position = copy.deepcopy(self._feed.state_dict()) if isinstance(self._feed, Resumable) else None
        if isinstance(self._feed, PerEpoch):
            self._feed.set_epoch(epoch)
        try:
            yield from self._feed
        finally:
            if isinstance(self._feed, Resumable):
                self._feed.load_state_dict(position or {})
            self._restore_random(now)

    def weight(self, batch: Any) -> float:
        """The weight of this process's gradient of a batch.

        Raises
        ------
        UsageError
            If the batch should have one.
        """
        if not self._divided:
            return 1.0
        if not isinstance(batch, Batch):
            raise UsageError(
                f"{type(self._feed).__name__} divides its batches among processes, but its batch, a "
                f"{type(batch).__name__}, has no attribute weight: the examples of this part over the mean of all "
                "parts; add it, 1.0 if all parts are equal"
            )
        return batch.weight

    def state_dict(self) -> dict[str, Any]:
        """Position and random states, to continue after the batch just delivered."""
        position = self._feed.state_dict() if isinstance(self._feed, Resumable) else None
        return {"now": self._random(), "at_beginning": self._at_beginning, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next pass continue from a saved state."""
        self._saved = state

    @property
    def _generator(self) -> torch.Generator | None:
        own = self._feed.generator if isinstance(self._feed, Seeded) else None
        return own if isinstance(own, torch.Generator) else None

    def _random(self) -> dict[str, Any]:
        own = self._generator
        return {"global": random_state(), "own": None if own is None else own.get_state()}

    def _restore_random(self, state: dict[str, Any]) -> None:
        restore_random_state(state["global"])
        if state["own"] is not None and (own := self._generator) is not None:
            own.set_state(state["own"])


def _check(feed: Any) -> None:
    """Refuse a feed that cannot be iterated, and attributes that the engine would misread or ignore."""
    kind = type(feed).__name__
    if not isinstance(feed, Feed):
        raise UsageError(f"the feed is a {kind}, which cannot be iterated; pass a list, a DataLoader or a feed")
    names = {name for name in dir(feed) if not name.startswith("_")}
    for capability in sorted(CAPABILITIES - names):
        if near := difflib.get_close_matches(capability, names - CAPABILITIES, n=1, cutoff=ALIKE):
            raise UsageError(f'{kind}.{near[0]} is not read by the engine; did you mean "{capability}"? Rename it')
    if len(position := {"state_dict", "load_state_dict"} & names) == 1:
        raise UsageError(f"{kind} has {position.pop()} only; to be resumed it needs state_dict and load_state_dict")
    generator = getattr(feed, "generator", None)
    if not isinstance(feed, Resumable) and not isinstance(generator, torch.Generator | None):
        raise UsageError(
            f"{kind}.generator is a {type(generator).__name__}, whose state is not saved; use a torch.Generator, or "
            "add state_dict and load_state_dict"
        )
