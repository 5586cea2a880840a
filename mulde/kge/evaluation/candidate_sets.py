"""The entities that may answer a query: those of a list or of a type, or those seen at this position in training.

Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kge_data.entity_files import EntityTypes
from kge_data.inverse import num_internal
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde.kge.model.prior_index import PriorIndex


@dataclass(frozen=True)
class CandidateSets:
    """The candidates of each query, by its internal relation."""

    about: str
    """Which entities they are, in words."""
    of: Callable[[int], Ids]
    """Internal relation -> entities (n,), ascending."""

    def outside(self, relations: Ids, num_entities: int) -> NDArray[np.bool_]:
        """Whether each entity (b, e) is no candidate of queries with internal relations (b,)."""
        found = np.ones((len(relations), num_entities), dtype=bool)
        for relation in np.unique(relations).tolist():
            found[np.ix_(relations == relation, self.of(relation))] = False
        return found

    def digest(self, num_relations: int) -> str:
        """SHA-256 of the candidates of all relations of a graph."""
        every = hashlib.sha256()
        for relation in range(num_internal(num_relations)):
            every.update(f"{relation} ".encode() + self.of(relation).tobytes())
        return every.hexdigest()


def same_for_all(entities: Ids, about: str) -> CandidateSets:
    """The same entities (n,) for all queries."""
    return CandidateSets(about, lambda relation: entities)


def seen_in_training(graph: TripleSet, types: EntityTypes | None = None) -> CandidateSets:
    """Range of a relation for queries of tails, domain for queries of heads, by the training triples.

    Parameters
    ----------
    graph
        The graph.
    types
        If given, candidates are all entities that have a type of an entity seen at this position; otherwise only the
        entities seen there.
    """
    index = PriorIndex(graph.train, num_internal(graph.num_relations))
    if types is None:
        return CandidateSets("seen at this position of the relation in train", index.answering)
    known: dict[int, Ids] = {}

    def of(relation: int) -> Ids:
        if relation not in known:
            known[relation] = types.sharing(index.answering(relation))
        return known[relation]

    return CandidateSets("with a type seen at this position of the relation in train", of)
