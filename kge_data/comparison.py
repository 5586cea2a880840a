"""Comparison of a graph with another by names, and its triples with the ids of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np

from kge_data.keys import Ids, distinct_triples, triple_keys
from kge_data.tripleset import SPLITS, TripleSet


@dataclass(frozen=True)
class Difference:
    """Differences of a graph from another one. Triples are counted once, over all splits."""

    triples: int
    """Triples of the graph."""
    added: int
    """Those that the other graph does not have."""
    removed: int
    """Triples that only the other graph has."""
    with_new_names: int
    """Triples with an entity or a relation that the other graph does not have."""
    entities: int
    """Entities that the other graph does not have."""
    relations: int
    """The same for relations."""

    @property
    def related(self) -> bool:
        """Whether at least half of the triples have names of the other graph only."""
        return 2 * self.with_new_names <= self.triples

    def __str__(self) -> str:
        parts = [
            f"{number:,} {one if number == 1 else several}"
            for number, one, several in (
                (self.added, "triple added", "triples added"),
                (self.removed, "triple removed", "triples removed"),
                (self.entities, "new entity", "new entities"),
                (self.relations, "new relation", "new relations"),
            )
            if number
        ]
        return ", ".join(parts) or "the same triples, in other splits or repeated"


def difference(graph: TripleSet, other: TripleSet) -> Difference:
    """How a graph differs from another one, by the identifiers of entities and relations."""
    own, theirs = _all(graph), _all(other)
    entities, relations = _ids_in(graph.entities, other.entities), _ids_in(graph.relations, other.relations)
    renamed = _renumbered(own, entities, relations)
    size = other.num_relations, other.num_entities
    common = int(np.isin(triple_keys(renamed, *size), triple_keys(theirs, *size), assume_unique=True).sum())
    return Difference(
        len(own),
        len(own) - common,
        len(theirs) - common,
        len(own) - len(renamed),
        int((entities < 0).sum()),
        int((relations < 0).sum()),
    )


def with_ids_of(graph: TripleSet, other: TripleSet) -> TripleSet:
    """A graph with the names and ids of another one; triples with names that the other does not have are left out."""
    entities, relations = _ids_in(graph.entities, other.entities), _ids_in(graph.relations, other.relations)
    train, valid, test = (_renumbered(getattr(graph, split), entities, relations) for split in SPLITS)
    return replace(other, name=graph.name, train=train, valid=valid, test=test)


def _all(graph: TripleSet) -> Ids:
    return distinct_triples(np.concatenate([getattr(graph, split) for split in SPLITS]))


def _ids_in(names: Sequence[str], other: Sequence[str]) -> Ids:
    """The position of each name in another list; -1 for a new one."""
    places = {name: number for number, name in enumerate(other)}
    return np.fromiter(map(places.get, names, repeat(-1)), np.int64, len(names))


def _renumbered(triples: Ids, entities: Ids, relations: Ids) -> Ids:
    """Triples with other ids; those with a new name are left out."""
    heads, kinds, tails = triples.T
    renumbered = np.stack([entities[heads], relations[kinds], entities[tails]], axis=1)
    return renumbered[(renumbered >= 0).all(1)]
