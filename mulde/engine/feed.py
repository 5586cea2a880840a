"""Passes over a feed, resumable in the middle.

A feed is any iterable of batches that is iterated once per epoch. It may also have
    set_epoch(epoch)   called before every pass
    state_dict(), load_state_dict(state)
                       its position. The state is taken while the feed waits at a `yield`, so it must already
                       count the batch just delivered; after loading, a new iteration delivers what follows.
                       Only states taken inside a pass are loaded.
    generator          a torch.Generator it draws from (a DataLoader has one)
    __len__            batches per pass
Among several processes, a feed delivers each process's part of the same global batches, in every process as many. Where
parts differ in size a batch has `share`, its number of examples over the mean number of all parts: then the update is
that of the global batch.
A feed without `state_dict` is resumed by repeating the pass with the same random numbers and skipping what
was done, which is exact when its order depends on the random state at the beginning of the pass and on
`set_epoch` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from mulde.engine.device import random_state, restore_random_state


class Passes:
    """One feed, pass after pass."""

    def __init__(self, feed: Iterable[Any]) -> None:
        self._feed = feed
        self._has_position = hasattr(feed, "state_dict") and hasattr(feed, "load_state_dict")
        self._at_beginning: dict[str, Any] = {}
        self._saved: dict[str, Any] | None = None

    @property
    def length(self) -> int | None:
        """Batches per pass, or None where the feed does not tell."""
        try:
            return len(self._feed)  # type: ignore[arg-type]
        except TypeError:
            return None

    def run(self, epoch: int, done: int) -> Iterator[Any]:
        """The batches of one pass; `done` of them were delivered before an interruption."""
        saved, self._saved = self._saved, None
        inside = saved is not None and done > 0
        if saved is not None:
            self._restore_random(saved["at_beginning"] if inside else saved["now"])
        self._at_beginning = self._random()
        if hasattr(self._feed, "set_epoch"):
            self._feed.set_epoch(epoch)
        if saved is not None and inside and done == self.length:  # cut off after the last batch: nothing is left
            self._restore_random(saved["now"])
            return
        if saved is not None and inside and self._has_position:
            self._feed.load_state_dict(saved["position"])  # type: ignore[attr-defined]
        iterator = iter(self._feed)
        if saved is not None and inside:
            if not self._has_position:
                for _ in range(done):
                    next(iterator, None)
            self._restore_random(saved["now"])
        delivered = done
        for batch in iterator:
            delivered += 1
            yield batch
        if not delivered and not self._has_position:  # a conversation may have nothing to add
            raise ValueError(
                f"the feed delivered no batch in epoch {epoch + 1}; it is empty, or an iterator that "
                "can be read only once: pass something that can be iterated again"
            )

    def state_dict(self) -> dict[str, Any]:
        """Position and random states, to continue after the batch just delivered."""
        position = self._feed.state_dict() if self._has_position else None  # type: ignore[attr-defined]
        return {"now": self._random(), "at_beginning": self._at_beginning, "position": position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Lets the next pass continue from a saved state."""
        self._saved = state

    def _random(self) -> dict[str, Any]:
        own = getattr(self._feed, "generator", None)
        return {
            "global": random_state(),
            "own": own.get_state() if isinstance(own, torch.Generator) else None,
        }

    def _restore_random(self, state: dict[str, Any]) -> None:
        restore_random_state(state["global"])
        if state["own"] is not None:
            self._feed.generator.set_state(state["own"])  # type: ignore[attr-defined]
