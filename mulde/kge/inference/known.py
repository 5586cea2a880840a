"""The known triples of a graph, for predictions. Imports no torch."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.keys import Ids
from kge_data.tripleset import SPLITS, TripleSet


class Known:
    """Known triples of a graph: the filter of answers, and the split of a triple."""

    def __init__(self, graph: TripleSet):
        self._graph = graph

    def __bool__(self) -> bool:
        """Whether there are any; a bundle may have been made without them."""
        return any(len(getattr(self._graph, split)) for split in SPLITS)

    @cached_property
    def answers(self) -> KnownAnswers:
        """Known answers of all splits in both directions, by internal relation ids."""
        return KnownAnswers(with_reciprocals(np.concatenate([getattr(self._graph, split) for split in SPLITS])))

    def split(self, heads: Ids, relations: Ids, tails: Ids) -> Ids:
        """For each triple (b,), with relation ids of the graph: position in SPLITS of its first split, or -1."""
        place = np.full(len(heads), -1, dtype=np.int64)
        for number, part in reversed(list(enumerate(self._splits))):
            place[part.contains(heads, relations, tails)] = number
        return place

    @cached_property
    def _splits(self) -> list[KnownAnswers]:
        return [KnownAnswers(getattr(self._graph, split)) for split in SPLITS]
