"""The entities that answer each relation in the training graph, for the graph prior. Imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import inverse_of, with_reciprocals
from kge_data.keys import Ids


class PriorIndex:
    """An index of training triples.

    Parameters
    ----------
    triples
        (n, 3) training triples with relation ids of the graph.
    num_internal
        Number of internal relation ids.
    """

    def __init__(self, triples: Ids, num_internal: int):
        self.known = KnownAnswers(with_reciprocals(triples))
        order = np.argsort(self.known.relations, kind="stable")  # (t, r⁻¹, ?) is known: t answers r
        self._answering = self.known.heads[order]
        self._starts = np.searchsorted(self.known.relations[order], np.arange(num_internal + 1))

    def answering(self, relation: int) -> Ids:
        """The entities (n,) that answer an internal relation in train, ascending."""
        inverse = inverse_of(relation)
        return self._answering[self._starts[inverse] : self._starts[inverse + 1]]

    def answers_another(self, heads: Ids, relations: Ids, tails: Ids) -> NDArray[np.bool_]:
        """Whether the tail of each triple (n,), internal relation ids, answers the relation for another head."""
        query = self.known.find(tails, inverse_of(relations))
        count = np.where(query < 0, 0, self.known.offsets[query + 1] - self.known.offsets[query])
        another = count > 1
        once = np.flatnonzero(count == 1)  # does the only head differ from the query's?
        another[once] = ~self.known.contains(heads[once], relations[once], tails[once])
        return another
