"""Batches of distinct queries, each with all its training answers: the feed of losses over all entities.

Where a query has many answers this is the same sum of losses as one query per triple, at a fraction of the scoring:
FB15k-237 has 544,230 training queries and 149,689 distinct ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.engine.shares import Part, mapped
from mulde.kge.feeds import ShuffledFeed


@dataclass(frozen=True)
class AnswerBatch:
    """Distinct queries and their answers; ids int64, relations internal (2r, reciprocal 2r+1)."""

    heads: Tensor
    """(b,)"""
    relations: Tensor
    """(b,)"""
    rows: Tensor
    """(n,) the query of each answer, ascending."""
    answers: Tensor
    """(n,) the tails that the training triples give."""
    index: Tensor
    """(b,) the queries' numbers in the feed, by which what was written down about them is found."""
    share: float = 1.0
    """What the trainer multiplies this process's gradient by, before it takes the mean over all processes: its share of
    the whole batch's answers, over which losses are means."""

    def divided(self, rank: int, processes: int) -> AnswerBatch:
        """The part of one of several processes: some of the queries, with all their answers."""
        part = Part(rank, processes, len(self.heads))
        rows, answers = part.of_pairs(self.rows, self.answers)
        share = len(rows) * processes / len(self.rows) if part.share else 0.0
        return replace(mapped(self, part.of), rows=rows, answers=answers, share=share)

    def to(self, device: torch.device | str) -> AnswerBatch:
        """The batch on another device."""
        return mapped(self, lambda tensor: tensor.to(device))


class AnswerFeed(ShuffledFeed):
    """Every distinct query (h, r, ?) and (?, r, t) of the training triples once per epoch."""

    def __init__(self, graph: TripleSet, batch_size: int, seed: int = 0, rank: int = 0, processes: int = 1):
        known = KnownAnswers(with_reciprocals(graph.train))
        self.heads, self.relations = torch.from_numpy(known.heads), torch.from_numpy(known.relations)
        self.offsets, self.tails = torch.from_numpy(known.offsets), torch.from_numpy(known.tails)
        super().__init__(len(self.heads), batch_size, seed, rank, processes)

    def batch(self, index: Tensor) -> AnswerBatch:
        """The queries with these numbers (b,)."""
        begin = self.offsets[index]
        counts = self.offsets[index + 1] - begin
        rows = torch.repeat_interleave(torch.arange(len(index)), counts)
        within = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        return AnswerBatch(self.heads[index], self.relations[index], rows, self.tails[begin[rows] + within], index)
