"""ULTRA on one graph: a teacher, and a baseline that needs no training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from kge_data.filters import KnownAnswers
from kge_data.inverse import inverse_of, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.ultra.checkpoint import open_ultra, path_of
from mulde.ultra.edges import Edges, edges_of, relation_edges
from mulde.ultra.network import Relation, Ultra

ROWS = 1 << 15  # nodes and pairs that are computed at once, on graphs that have fewer
QUERIES = 64  # at once at most, and rows of a block of scores


class UltraTeacher(nn.Module):
    """ULTRA, queried by the ids of a graph; it knows the training triples, and needs no names.

    It computes on the CPU; scores are returned on the device of the queries.

    Parameters
    ----------
    model
        From `open_ultra`.
    graph
        The graph.
    leave_out
        Leave the known answers of a query out of the graph while it is scored, in both directions. A teacher that is
        queried for a training triple must not find it there. Evaluation on triples outside training keeps them.
    bar
        Show a progress bar in `blocks`, on terminals.
    """

    def __init__(self, model: Ultra, graph: TripleSet, leave_out: bool = True, bar: bool = False) -> None:
        super().__init__()
        self.model, self.leave_out, self.bar = model, leave_out, bar
        self.entities = graph.num_entities
        self.edges, self.relation_edges = edges_of(graph), relation_edges(graph)
        self.known = KnownAnswers(with_reciprocals(graph.train)) if leave_out else None
        self.together = max(1, min(QUERIES, ROWS // (self.edges.nodes + len(self.edges.sources))))
        self._copies: dict[int, Edges] = {1: self.edges}
        self._last: tuple[int, Relation] | None = None

    def _apply(self, function: Any, recurse: bool = True) -> UltraTeacher:
        """Stays on the CPU, where its edges are, and in float32."""
        return self

    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores of the tails ``ids``: (b,) of one tail each, or (b, c) of candidates."""
        if ids.dim() == 1:
            return self.score(heads, relations, ids.unsqueeze(1)).squeeze(1)
        return self.score_all(heads, relations).gather(1, ids)

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity; queries in any order, fastest where those of a relation are together."""
        scores = torch.empty(len(heads), self.entities)
        for rows, block in self._blocks(heads.cpu(), relations.cpu()):
            scores[rows] = block
        return scores.to(heads.device)

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) for queries (b,); equal queries are scored once."""
        with tqdm(total=len(heads), desc="ULTRA", unit="query", disable=None if self.bar else True) as bar:
            for rows, scores in self._blocks(heads.cpu(), relations.cpu()):
                yield rows, scores
                bar.update(len(rows))

    @torch.no_grad()
    def _blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        queries, query_of = torch.stack([relations, heads]).unique(dim=1, return_inverse=True)
        order = query_of.argsort(stable=True)
        ends = torch.cat([query_of.new_zeros(1), query_of.bincount(minlength=queries.shape[1]).cumsum(0)])
        _, counts = queries[0].unique_consecutive(return_counts=True)
        for part in torch.arange(queries.shape[1]).split(counts.tolist()):
            for some in part.split(self.together):
                first, last = int(some[0]), int(some[-1])
                scores = self._scores(queries[1, some], int(queries[0, first]))
                rows = order[int(ends[first]) : int(ends[last + 1])]
                yield rows, scores[query_of[rows] - first]

    def _scores(self, heads: Tensor, relation: int) -> Tensor:
        """Scores (b, e) of distinct queries of one relation, each in its own copy of the graph."""
        copies = len(heads)
        if copies not in self._copies:
            self._copies = {1: self.edges, copies: self.edges.repeated(copies)}
        sources = heads + self.entities * torch.arange(copies)
        scores: Tensor = self.model.entity_model(
            self._copies[copies], self._shared(relation, copies), sources, self._dropped(heads, relation)
        )
        return scores.view(copies, self.entities)

    def _shared(self, relation: int, copies: int) -> Relation:
        """What queries of the relation share; that of the last relation is kept."""
        if self._last is None or self._last[0] != relation:
            vectors = self.model.relation_model(self.relation_edges, relation)
            self._last = relation, self.model.entity_model.of_relation(self.edges, vectors, relation)
        kept = self._last[1]
        if copies == 1:
            return kept
        others = [each.repeat(copies, 1) for each in kept.others]
        return replace(kept, others=others, scores=kept.scores.repeat(copies))

    def _dropped(self, heads: Tensor, relation: int) -> Tensor | None:
        """Which edges are left out: those from the head by the relation, and their inverses."""
        if self.known is None:
            return None
        relations = torch.full_like(heads, relation)
        row, tail = map(torch.from_numpy, self.known.gather(heads.numpy(), relations.numpy()))
        if not len(row):
            return None
        there = self.edges.find(heads[row], relations[row], tail)
        back = self.edges.find(tail, inverse_of(relations[row]), heads[row])
        dropped = torch.zeros(len(heads) * len(self.edges), dtype=torch.bool)
        dropped[torch.cat([there, back]) + torch.cat([row, row]) * len(self.edges)] = True
        return dropped


def open_teacher(place: Path | str, graph: TripleSet) -> UltraTeacher | None:
    """The teacher called ``ultra:PATH``; None for another name."""
    path = path_of(place)
    return None if path is None else UltraTeacher(open_ultra(path), graph)


def open_baseline(checkpoint: Path, graph: TripleSet, split: str) -> UltraTeacher:
    """ULTRA to be evaluated on a split; for triples outside training, the graph has all its edges."""
    return UltraTeacher(open_ultra(checkpoint), graph, leave_out=split == "train", bar=True)
