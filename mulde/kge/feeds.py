"""From triples to batches of queries: both directions in one shuffled epoch, with random negatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from kge_data.tripleset import TripleSet


@dataclass(frozen=True)
class Part:
    """Which rows of a batch of ``rows`` one of several processes has: rank, rank + processes, and so on."""

    rank: int
    processes: int
    rows: int

    def of(self, drawn: Tensor) -> Tensor:
        """This process's rows; the first one, which then weighs nothing, where there are fewer rows than processes."""
        return drawn[self.rank :: self.processes] if self.rank < self.rows else drawn[:1]

    @property
    def share(self) -> float:
        """Weight of this part's mean in the mean of all processes that equals the mean of the whole batch."""
        return len(range(self.rank, self.rows, self.processes)) * self.processes / self.rows


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
    """(b,) a random head for the row's corruptions, or None where they keep the query's own.

    One for all n: each pair is distributed as in KGEmb's double_neg, which draws a head for each, and the expected
    binary loss is the same, but a row needs two query points instead of n + 1.
    """
    part: Part | None = None
    """Which part of the whole batch this is, where several processes share it."""

    @property
    def share(self) -> float:
        """What the trainer multiplies this process's gradient by, before it takes the mean over all processes."""
        return 1.0 if self.part is None else self.part.share

    def draw(self, limit: int, columns: int) -> Tensor:
        """Random ids (b, columns) below ``limit``: drawn for the whole batch, then divided among the processes."""
        if self.part is None:
            return torch.randint(limit, (len(self.heads), columns), device=self.heads.device)
        whole = torch.randint(limit, (self.part.rows, columns), device=self.heads.device)
        return self.part.of(whole)[: len(self.heads)]

    def divided(self, rank: int, processes: int) -> QueryBatch:
        """The part of one of several processes."""
        part = Part(rank, processes, len(self.heads))
        return replace(self._mapped(part.of), part=part)

    def first(self, count: int) -> QueryBatch:
        """The batch cut to its first rows; the order of an epoch is random, so they are a random sample."""
        return self._mapped(lambda rows: rows[:count])

    def to(self, device: torch.device | str) -> QueryBatch:
        """The batch on another device."""
        return self._mapped(lambda rows: rows.to(device))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> QueryBatch:
        """The batch with every tensor changed."""
        tensors = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)  # type: ignore[arg-type]


class QueryFeed:
    """Every training triple as (h, r, ?) and as (?, r, t), shuffled together; an epoch has 2n queries.

    Order and negatives are functions of (seed, epoch), and the position is part of the state, so that a training
    interrupted in mid-epoch continues exactly. Several processes draw the same global batches; ``rank`` and
    ``processes`` tell which rows of each are delivered.
    """

    def __init__(
        self,
        graph: TripleSet,
        batch_size: int,
        negatives: int,
        corrupt: Literal["tail", "both"] = "tail",
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
    ):
        self.triples = torch.from_numpy(graph.train)
        self.num_entities = graph.num_entities
        self.batch_size, self.negatives, self.corrupt, self.seed = batch_size, negatives, corrupt, seed
        self.rank, self.processes = rank, processes
        self.generator = torch.Generator()
        self.position = 0
        self.set_epoch(0)

    def __len__(self) -> int:
        return -(-2 * len(self.triples) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: draw its order."""
        self.generator.manual_seed(1_000_003 * self.seed + epoch)
        self.order = torch.randperm(2 * len(self.triples), generator=self.generator)
        self.position = 0

    def state_dict(self) -> dict[str, Any]:
        """Batches already delivered in this epoch."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches of ``state``."""
        self.position = state["position"] % len(self)

    def __iter__(self) -> Iterator[QueryBatch]:
        while self.position < len(self):
            start = self.position * self.batch_size
            heads, relations, tails = self._queries(self.order[start : start + self.batch_size])
            self.position += 1
            negatives = self._draw(len(heads), self.negatives)
            batch = QueryBatch(
                heads, relations, tails, negatives, self._draw(len(heads)) if self.corrupt == "both" else None
            )
            yield batch if self.processes == 1 else batch.divided(self.rank, self.processes)

    def _queries(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of `kge_data.inverse.with_reciprocals`, which would double the triples in memory."""
        count = len(self.triples)
        back = rows >= count
        heads, relations, tails = self.triples[rows - back * count].unbind(1)
        return torch.where(back, tails, heads), 2 * relations + back, torch.where(back, heads, tails)

    def _draw(self, *shape: int) -> Tensor:
        return torch.randint(self.num_entities, shape, generator=self.generator)
