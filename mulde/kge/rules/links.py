"""The training graph without self-loops, for walks in both directions."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, num_internal, reciprocal_id, with_reciprocals
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet


class Links:
    """Training triples of a graph.

    Parameters
    ----------
    graph
        The graph.

    Attributes
    ----------
    triples
        (n, 3) training triples without self-loops, relation ids of the graph.
    known
        The answers to every query (head, internal relation).
    """

    def __init__(self, graph: TripleSet):
        self.triples = graph.train[graph.train[:, 0] != graph.train[:, 2]]
        self.known = KnownAnswers(with_reciprocals(self.triples))
        self.num_entities, self.num_relations = graph.num_entities, graph.num_relations
        self.num_internal = num_internal(graph.num_relations)

    @cached_property
    def answers(self) -> csr_array:
        """(q, e) ones where an entity answers a query, in the order of the queries of `known`."""
        known, shape = self.known, (len(self.known.heads), self.num_entities)
        return csr_array((np.ones(len(known.tails), dtype=np.int32), known.tails, known.offsets), shape=shape)

    @cached_property
    def subjects(self) -> csr_array:
        """(e, internal relations) number of answers that an entity has."""
        known, shape = self.known, (self.num_entities, self.num_internal)
        return csr_array((np.diff(known.offsets), (known.heads, known.relations)), shape=shape)

    @cached_property
    def answered(self) -> csr_array:
        """(e, r) ones where an entity has some answer of a relation of the graph."""
        forward = self.subjects[:, forward_id(np.arange(self.num_relations))]
        return (forward > 0).astype(np.int64)

    def sizes(self, heads: Ids, relations: Ids | int) -> Ids:
        """Number of answers of each query (n,)."""
        row = self.known.find(heads, np.broadcast_to(relations, heads.shape))
        return np.where(row < 0, 0, self.known.offsets[row + 1] - self.known.offsets[row])

    def walk(self, nodes: Ids, relation: int) -> Ids:
        """Paths (n, k) of different entities, each longer by one step of an internal relation: (m, k + 1)."""
        row, tails = self.known.gather(nodes[:, -1], np.full(len(nodes), relation))
        longer = np.concatenate([nodes[row], tails[:, None]], axis=1)
        return longer[(longer[:, :-1] != tails[:, None]).all(1)]

    def facts_of(self, entity: int) -> tuple[Ids, Ids]:
        """Internal relations (n,) and other entities (n,) of the facts of an entity."""
        known = self.known
        rows = slice(*np.searchsorted(known.heads, [entity, entity + 1]))
        sizes = known.offsets[rows.stop] - known.offsets[rows.start]
        counts = np.diff(known.offsets)[rows]
        return np.repeat(known.relations[rows], counts), known.tails[known.offsets[rows.start] :][:sizes]

    def relations_between(self, heads: Ids, tails: Ids) -> tuple[Ids, Ids]:
        """Of pairs (n,): position of a pair and relation of the graph, (f,) each, of all facts between them."""
        return self._pairs.gather(heads, tails)

    def steps_between(self, heads: Ids, tails: Ids) -> tuple[Ids, Ids]:
        """The same with internal relations, in both directions."""
        there, forward = self.relations_between(heads, tails)
        back, backward = self.relations_between(tails, heads)
        return np.append(there, back), np.append(forward_id(forward), reciprocal_id(backward))

    @cached_property
    def _pairs(self) -> KnownAnswers:
        """An index of (head, tail) whose answers are the relations."""
        return KnownAnswers(self.triples[:, [0, 2, 1]])
