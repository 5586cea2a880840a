"""From triples to batches of queries: both directions in one shuffled epoch, with random negatives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet


@dataclass(frozen=True)
class QueryBatch:
    """Queries with their answers and corruptions; ids int64, relations internal (2r, reciprocal 2r+1)."""

    heads: Tensor
    """(b,)"""
    relations: Tensor
    """(b,)"""
    tails: Tensor
    """(b,) the answer in the data."""
    negatives: Tensor
    """(b, n) uniformly drawn tails, unfiltered: they may be true."""
    negative_heads: Tensor | None = None
    """(b, n) uniformly drawn heads of the corruptions, or None where they keep the query's own."""
    known_rows: Tensor | None = None
    """(k,) ascending: with ``known_tails`` every answer to the batch's queries that the training triples hold."""
    known_tails: Tensor | None = None
    """(k,) the tail that answers query ``known_rows[i]``."""

    def first(self, count: int) -> QueryBatch:
        """The batch cut to its first rows; the order of an epoch is random, so they are a random sample."""
        parts = dict(vars(self))
        for name in parts:
            end = count
            if name.startswith("known") and self.known_rows is not None:
                end = int(torch.searchsorted(self.known_rows, count))
            parts[name] = None if parts[name] is None else parts[name][:end]
        return QueryBatch(**parts)

    def to(self, device: torch.device | str) -> QueryBatch:
        """The batch on another device."""
        return QueryBatch(*(None if part is None else part.to(device) for part in vars(self).values()))  # type: ignore[arg-type]

    def known_among(self, candidates: Tensor, num_entities: int) -> Tensor:
        """Which of the candidates (b, c) answer their query in the training triples: (b, c) bool.

        Raises ValueError where the feed was not asked to look them up.
        """
        if self.known_rows is None or self.known_tails is None:
            raise ValueError("this batch comes without known answers; make its feed with QueryFeed(..., known=True)")
        table = torch.zeros(len(candidates), num_entities, dtype=torch.bool, device=candidates.device)
        table[self.known_rows, self.known_tails] = True
        return table.gather(1, candidates)


class ShuffledFeed(ABC):
    """Everything once per epoch, in an order that is a function of (seed, epoch).

    The position is part of the state, so that a training interrupted in mid-epoch continues exactly.
    """

    def __init__(self, count: int, batch_size: int, seed: int):
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.generator = torch.Generator()
        self.position = 0
        self.set_epoch(0)

    @abstractmethod
    def batch(self, index: Tensor) -> Any:
        """The batch of the things with these numbers (b,)."""

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: draw its order."""
        self.generator.manual_seed(1_000_003 * self.seed + epoch)
        self.order = torch.randperm(self.count, generator=self.generator)
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        """Batches already delivered in this epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of ``state``."""
        self.position = state["position"] % len(self)

    def __iter__(self) -> Iterator[Any]:
        while self.position < len(self):
            start = self.position * self.batch_size
            self.position += 1
            yield self.batch(self.order[start : start + self.batch_size])


class QueryFeed(ShuffledFeed):
    """Every training triple as (h, r, ?) and as (?, r, t), shuffled together; an epoch has 2n queries.

    Negatives, too, are a function of (seed, epoch). ``known``: also look up what else answers each query in the
    training triples.
    """

    def __init__(
        self,
        graph: TripleSet,
        batch_size: int,
        negatives: int,
        corrupt: Literal["tail", "both"] = "tail",
        seed: int = 0,
        known: bool = False,
    ):
        queries = with_reciprocals(graph.train)
        self.queries = torch.from_numpy(queries)
        self.known = KnownAnswers(queries) if known else None
        self.num_entities, self.negatives, self.corrupt = graph.num_entities, negatives, corrupt
        super().__init__(len(queries), batch_size, seed)

    def batch(self, index: Tensor) -> QueryBatch:
        """The queries with these numbers (b,), with newly drawn negatives."""
        heads, relations, tails = self.queries[index].unbind(1)
        negatives = self._draw(len(heads), self.negatives)
        others = self._draw(len(heads), self.negatives) if self.corrupt == "both" else None
        known = () if self.known is None else map(torch.from_numpy, self.known.gather(heads, relations))
        return QueryBatch(heads, relations, tails, negatives, others, *known)

    def _draw(self, *shape: int) -> Tensor:
        return torch.randint(self.num_entities, shape, generator=self.generator)
