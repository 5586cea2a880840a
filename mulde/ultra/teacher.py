"""ULTRA on one graph: a teacher, and a baseline that needs no training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn

from kge_data.filters import KnownAnswers
from kge_data.inverse import inverse_of, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.ultra.edges import Edges, edges_of, relation_edges
from mulde.ultra.network import Relation, Ultra

ROWS = 1 << 15  # nodes and pairs that are computed at once, on graphs that have fewer
QUERIES = 64  # at once at most, and rows of a block of scores


class UltraTeacher(nn.Module):
    """ULTRA, queried by the ids of a graph; it knows the training triples, and needs no names.

    Parameters
    ----------
    network
        From `open_ultra`.
    graph
        The graph.
    leave_out
        Leave the known answers of a query out of the graph while it is asked, in both directions. A teacher that is
        asked for a training triple must not find it there. Evaluation on triples outside training keeps them.
    """

    def __init__(self, network: Ultra, graph: TripleSet, leave_out: bool = True) -> None:
        super().__init__()
        self.network, self.leave_out = network, leave_out
        self.entities = graph.num_entities
        self.edges, self.relation_edges = edges_of(graph), relation_edges(graph)
        self.known = KnownAnswers(with_reciprocals(graph.train)) if leave_out else None
        self.together = max(1, min(QUERIES, ROWS // (self.edges.nodes + len(self.edges.sources))))
        self._repeated = lru_cache(maxsize=2)(self.edges.repeated)
        self._relation: tuple[int, int, Relation] | None = None

    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores of the tails ``ids``: (b,) of one tail each, or (b, c) of candidates."""
        if ids.dim() == 1:
            return self.score(heads, relations, ids.unsqueeze(1)).squeeze(1)
        return self.score_all(heads, relations).gather(1, ids)

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity; queries in any order, fastest where those of a relation are together."""
        scores = torch.empty(len(heads), self.entities)
        for rows, block in self.blocks(heads, relations):
            scores[rows] = block
        return scores

    @torch.no_grad()
    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) for queries (b,); equal queries are scored once."""
        queries, query_of = torch.stack([relations, heads]).unique(dim=1, return_inverse=True)
        order = query_of.argsort(stable=True)
        ends = query_of.bincount(minlength=queries.shape[1]).cumsum(0)
        _, counts = queries[0].unique_consecutive(return_counts=True)
        for part in torch.arange(queries.shape[1]).split(counts.tolist()):
            for some in part.split(self.together):
                scores = self._scores(queries[1, some], int(queries[0, some[0]]))
                rows = order[int(ends[some[0] - 1]) if some[0] else 0 : int(ends[some[-1]])]
                yield rows, scores[query_of[rows] - some[0]]

    def _scores(self, heads: Tensor, relation: int) -> Tensor:
        """Scores (b, e) of distinct queries of one relation."""
        copies = len(heads)
        edges = self._repeated(copies)
        shared = self._shared(relation, copies, edges)
        sources = heads + self.entities * torch.arange(copies)
        found = self.network.entity_model(edges, shared, sources, self._dropped(heads, relation, copies))
        return found.view(copies, self.entities)

    def _shared(self, relation: int, copies: int, edges: Edges) -> Relation:
        """What queries of the relation share; that of the last relation is kept."""
        if self._relation is None or self._relation[0] != relation:
            vectors = self.network.relation_model(self.relation_edges, relation)
            self._relation = relation, 1, self.network.entity_model.of_relation(self.edges, vectors, relation)
        kept = self._relation[2]
        if copies == 1:
            return kept
        return Relation(
            kept.query, kept.vectors, [each.repeat(copies, 1) for each in kept.others], kept.scores.repeat(copies)
        )

    def _dropped(self, heads: Tensor, relation: int, copies: int) -> Tensor | None:
        """Which edges are left out: those from the head by the relation, and their inverses."""
        if self.known is None:
            return None
        relations = torch.full_like(heads, relation)
        row, tail = map(torch.from_numpy, self.known.gather(heads.numpy(), relations.numpy()))
        if not len(row):
            return None
        head = heads[row]
        there = self.edges.find(head, relations[row], tail)
        back = self.edges.find(tail, inverse_of(relations[row]), head)
        dropped = torch.zeros(copies * len(self.edges), dtype=torch.bool)
        dropped[torch.cat([there, back]) + torch.cat([row, row]) * len(self.edges)] = True
        return dropped
