"""Queries to the teacher ensemble during training: steps and candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mulde.config import Count, Fraction, Whole, convert
from mulde.engine import Clock
from mulde.kge.feeds import QueryBatch, QueryFeed
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.teachers.ensemble import Ensemble

REMEMBERED = 1 << 24  # scores of an ensemble that are computed once, at most: 64 MB in float32
LARGE = 10_000  # entities from which the teachers are not queried on every batch by default


@dataclass(frozen=True, kw_only=True)
class Querying:
    """Queries to the teachers."""

    top_k: Count = 500
    """Candidates that the teachers score: the Junior's best K entities at every step."""
    include_target: bool = False
    """Add the true tail to the candidates if it is not among the Junior's top K (MulDE's code: no)."""
    random_candidates: Whole = 0
    """Random entities appended to the top K, so that soft labels also cover unlikely entities (MulDE's code: 0)."""
    teacher_query_fraction: Fraction | None = None
    """Fraction of the batches on which the teachers are queried, evenly spaced; the others use hard labels only. Losses
    of queried batches are divided by the fraction. Default: 1, and 0.05 on graphs of 10,000 entities or more, where
    queries would take most of the time."""

    def __post_init__(self) -> None:
        convert(self)

    def fraction(self, num_entities: int) -> float:
        """Fraction of the batches on which the teachers are queried on a graph of this size."""
        return self.teacher_query_fraction or (0.05 if num_entities >= LARGE else 1.0)

    def scored(self, junior: KGEModel, ensemble: Ensemble, batch: QueryBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Candidates (b, c), the Junior's scores of them (b, c), and the teachers' (m, b, c)."""
        heads, relations = batch.heads, batch.relations
        if self.all_entities(junior):
            everything = torch.arange(junior.num_entities, device=heads.device).expand(len(heads), -1)
            return everything, junior.score_every(heads, relations), ensemble.score_all(heads, relations)
        candidates = self.candidates(junior, batch)
        return candidates, junior.score(heads, relations, candidates), ensemble.score(heads, relations, candidates)

    def all_entities(self, junior: KGEModel) -> bool:
        """Whether every entity is a candidate of every query."""
        return self.top_k >= junior.num_entities and not self.random_candidates and not junior.sparse_gradients

    def prepare(self, junior: KGEModel, ensemble: Ensemble, feed: QueryFeed) -> None:
        """Let the ensemble compute its scores of all training queries once, if every entity is a candidate."""
        if self.all_entities(junior):
            heads, relations, _ = feed.queries(torch.arange(feed.count))
            ensemble.remember(heads, relations, REMEMBERED)

    def candidates(self, junior: KGEModel, batch: QueryBatch) -> Tensor:
        """Candidates (b, c) of each query: the Junior's current top K and those that the options add."""
        candidates = junior.top(batch.heads, batch.relations, self.top_k)
        if self.include_target:
            present = (candidates == batch.tails.unsqueeze(1)).any(1)
            candidates[:, 0] = torch.where(present, candidates[:, 0], batch.tails)
        if self.random_candidates:
            drawn = batch.draw(junior.num_entities, self.random_candidates)
            candidates = torch.cat([candidates, drawn], 1)
        return candidates


def is_queried(clock: Clock, fraction: float) -> bool:
    """Whether the teachers are queried at this step: at the first, then once every 1/fraction steps."""
    now, before = (math.floor(fraction * step + 1e-9) for step in (clock.step, clock.step - 1))
    return now > before
