"""Feeds: batches of queries from triples, in both directions, with random negatives or with all answers of a query.

`AnswerFeed` is for losses over all entities. It gives the same sum of losses as one query per triple with fewer scores:
FB15k-237 has 544,230 training queries and 149,689 distinct ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import internal_id, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.engine.distributed import Part, mapped
from mulde.errors import UsageError
from mulde.kge.options import Training


@dataclass(frozen=True)
class QueryBatch:
    """Queries with their answers and corruptions; ids int64, relations internal (`kge_data.inverse`)."""

    heads: Tensor
    """(b,)"""
    relations: Tensor
    """(b,)"""
    tails: Tensor
    """(b,) the answer in the triple."""
    negatives: Tensor
    """(b, n) uniformly drawn tails, unfiltered: they may be true."""
    negative_heads: Tensor | None = None
    """(b, n) uniformly drawn heads of the corruptions, or None where they keep the query's own."""
    known_rows: Tensor | None = None
    """(k,) positions in the batch, ascending: with ``known_tails`` every answer in the training triples."""
    known_tails: Tensor | None = None
    """(k,) an answer of the query ``known_rows[i]``."""
    part: Part | None = None
    """The part of the whole batch, where it is divided among processes."""

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def weight(self) -> float:
        """Weight of this process's gradient in the mean over all processes."""
        return 1.0 if self.part is None else self.part.weight

    def draw(self, limit: int, columns: int) -> Tensor:
        """Random ids (b, columns) below ``limit``, drawn for the whole batch and then divided among the processes."""
        if self.part is None:
            return torch.randint(limit, (len(self.heads), columns), device=self.heads.device)
        whole = torch.randint(limit, (self.part.rows, columns), device=self.heads.device)
        return self.part.of(whole)

    def divided(self, rank: int, processes: int) -> QueryBatch:
        """The part of one of several processes."""
        part = Part(rank, processes, len(self.heads))
        cut = replace(mapped(self, part.of), part=part)
        if self.known_rows is None or self.known_tails is None:
            return cut
        rows, tails = part.of_pairs(self.known_rows, self.known_tails)
        return replace(cut, known_rows=rows, known_tails=tails)

    def to(self, device: torch.device | str) -> QueryBatch:
        """The batch on another device."""
        return mapped(self, lambda tensor: tensor.to(device))

    def known_among(self, candidates: Tensor, num_entities: int) -> Tensor:
        """Which of the candidates (b, c) answer their query in the training triples: (b, c) bool.

        Raises
        ------
        UsageError
            If the feed does not look up known answers.
        """
        if self.known_rows is None or self.known_tails is None:
            raise UsageError("this batch has no known answers; make its feed with QueryFeed(..., known=True)")
        table = torch.zeros(len(candidates), num_entities, dtype=torch.bool, device=candidates.device)
        table[self.known_rows, self.known_tails] = True
        return table.gather(1, candidates)


class ShuffledFeed(ABC):
    """Every item once per epoch, in an order that is a function of (seed, epoch).

    The position is part of the state, so that a training interrupted in mid-epoch continues exactly. Several processes
    make the same whole batches, and each delivers the rows of its ``rank``.

    Parameters
    ----------
    count
        Number of items.
    batch_size
        Items per whole batch.
    seed
        Seed of the order.
    rank, processes
        This process, and how many share the batches.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1):
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.rank, self.processes = rank, processes
        self.generator = torch.Generator()
        self.position = 0
        self.set_epoch(0)

    @abstractmethod
    def batch(self, index: Tensor) -> Any:
        """The batch of the items with these numbers (b,); its ``divided`` gives the part of one process."""

    def divide(self, rank: int, processes: int) -> None:
        """Deliver only the part of this process of every batch from now on."""
        self.rank, self.processes = rank, processes

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
            batch = self.batch(self.order[start : start + self.batch_size])
            yield batch if self.processes == 1 else batch.divided(self.rank, self.processes)


class QueryFeed(ShuffledFeed):
    """Every training triple as (h, r, ?) and as (?, r, t), shuffled together; an epoch has 2n queries.

    Parameters
    ----------
    graph
        The data.
    batch_size
        Queries per batch.
    negatives
        Random corruptions per query, a function of (seed, epoch).
    corrupt
        Replace the tail, or head and tail at once.
    known
        Whether batches have all answers of their queries in the training triples.
    """

    def __init__(
        self,
        graph: TripleSet,
        batch_size: int,
        negatives: int,
        corrupt: Literal["tail", "both"] = "tail",
        seed: int = 0,
        known: bool = False,
        rank: int = 0,
        processes: int = 1,
    ):
        self.triples = torch.from_numpy(graph.train)
        self.known = KnownAnswers(with_reciprocals(graph.train)) if known else None
        self.num_entities, self.negatives, self.corrupt = graph.num_entities, negatives, corrupt
        super().__init__(2 * len(self.triples), batch_size, seed, rank, processes)

    def queries(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heads, relations and tails (b,): rows of `with_reciprocals`, without its copy of the triples."""
        back = index >= len(self.triples)
        heads, relations, tails = self.triples[index - back * len(self.triples)].unbind(1)
        return torch.where(back, tails, heads), internal_id(relations, back), torch.where(back, heads, tails)

    def batch(self, index: Tensor) -> QueryBatch:
        """The queries with these numbers (b,), with newly drawn negatives."""
        heads, relations, tails = self.queries(index)
        negatives = self._draw(len(heads), self.negatives)
        others = self._draw(len(heads), self.negatives) if self.corrupt == "both" else None
        known = () if self.known is None else map(torch.from_numpy, self.known.gather(heads, relations))
        return QueryBatch(heads, relations, tails, negatives, others, *known)

    def _draw(self, *shape: int) -> Tensor:
        return torch.randint(self.num_entities, shape, generator=self.generator)


@dataclass(frozen=True)
class AnswerBatch:
    """Distinct queries and their answers; ids int64, relations internal (`kge_data.inverse`)."""

    heads: Tensor
    """(b,)"""
    relations: Tensor
    """(b,)"""
    rows: Tensor
    """(n,) the query of each answer, ascending."""
    answers: Tensor
    """(n,) their answers in the training triples."""
    index: Tensor
    """(b,) the queries' numbers in the feed, which index cached predictions."""
    weight: float = 1.0
    """Weight of this process's gradient in the mean over all processes: its fraction of the whole batch's answers, over
    which losses are means, times the number of processes."""

    def __len__(self) -> int:
        return len(self.heads)

    def divided(self, rank: int, processes: int) -> AnswerBatch:
        """The part of one of several processes: some of the queries, with all their answers."""
        part = Part(rank, processes, len(self.heads))
        rows, answers = part.of_pairs(self.rows, self.answers)
        weight = len(rows) * processes / max(len(self.rows), 1) if part.weight else 0.0
        return replace(mapped(self, part.of), rows=rows, answers=answers, weight=weight)

    def to(self, device: torch.device | str) -> AnswerBatch:
        """The batch on another device."""
        return mapped(self, lambda tensor: tensor.to(device))


class AnswerFeed(ShuffledFeed):
    """Every distinct query (h, r, ?) and (?, r, t) of the training triples once per epoch.

    ``extra`` queries, heads and internal relations (n,) without a training answer, have the numbers after those.
    """

    def __init__(
        self,
        graph: TripleSet,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        extra: tuple[Tensor, Tensor] | None = None,
    ):
        known = KnownAnswers(with_reciprocals(graph.train))
        self.heads, self.relations = torch.from_numpy(known.heads), torch.from_numpy(known.relations)
        self.offsets, self.tails = torch.from_numpy(known.offsets), torch.from_numpy(known.tails)
        if extra is not None:
            self.heads, self.relations = torch.cat([self.heads, extra[0]]), torch.cat([self.relations, extra[1]])
            self.offsets = torch.cat([self.offsets, self.offsets[-1:].expand(len(extra[0]))])
        super().__init__(len(self.heads), batch_size, seed, rank, processes)

    def batch(self, index: Tensor) -> AnswerBatch:
        """The queries with these numbers (b,)."""
        begin = self.offsets[index]
        counts = self.offsets[index + 1] - begin
        rows = torch.repeat_interleave(torch.arange(len(index)), counts)
        within = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        return AnswerBatch(self.heads[index], self.relations[index], rows, self.tails[begin[rows] + within], index)


def query_feed(graph: TripleSet, training: Training, known: bool = False) -> QueryFeed:
    """Queries with random corruptions, by the options; ``known``: with the known answers of each query."""
    return QueryFeed(graph, training.batch_size, training.negatives, training.corrupt, training.seed, known)


def answer_feed(graph: TripleSet, training: Training, extra: tuple[Tensor, Tensor] | None = None) -> AnswerFeed:
    """Distinct queries with all their answers, by the options; ``extra``: and these, without answers."""
    return AnswerFeed(graph, training.batch_size, training.seed, extra=extra)
