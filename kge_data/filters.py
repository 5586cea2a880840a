"""The known true tails of every query (head, relation, ?), as sorted arrays.

The layout is a compressed sparse row matrix: query i is (heads[i], relations[i]) and its known tails are
tails[offsets[i]:offsets[i + 1]]. It takes three int64 per query and two per triple.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kge_data.keys import Ids, distinct, refuse_overflow


class KnownAnswers:
    """The known tails of every query.

    Parameters
    ----------
    triples
        (n, 3) head, relation, tail with internal relation ids, the result of `with_reciprocals`. Order does not
        matter, and duplicates count once.

    Attributes
    ----------
    heads, relations
        (q,) int64, the distinct queries in lexicographic order.
    offsets
        (q + 1,) int64, the start of each query's tails; the last entry is the number of tails.
    tails
        int64, the known tails, ascending within a query.

    Raises
    ------
    DataError
        If there are more than 2**63 possible triples.
    """

    def __init__(self, triples: Ids) -> None:
        heads, relations, tails = np.asarray(triples, dtype=np.int64).reshape(-1, 3).T
        self._num_relations = int(relations.max(initial=0)) + 1
        self._num_tails = int(tails.max(initial=0)) + 1
        self._last_head = int(heads.max(initial=0))
        refuse_overflow(self._last_head + 1, self._num_relations, self._num_tails)
        # every triple as one number
        self._triples = distinct((heads * self._num_relations + relations) * self._num_tails + tails)
        query_of_each, self.tails = np.divmod(self._triples, self._num_tails)
        starts = np.flatnonzero(np.diff(query_of_each, prepend=-1))
        self._queries = query_of_each[starts]
        self.heads, self.relations = np.divmod(self._queries, self._num_relations)
        self.offsets = np.append(starts, len(self.tails)).astype(np.int64)

    def find(self, heads: ArrayLike, relations: ArrayLike) -> Ids:
        """The row of each query (b,); -1 for a query without known tails."""
        heads, relations = np.asarray(heads, dtype=np.int64), np.asarray(relations, dtype=np.int64)
        keys = heads * self._num_relations + relations
        return _positions(self._queries, keys, self._possible(heads, relations))

    def answers(self, head: int, relation: int) -> Ids:
        """The known tails of one query, ascending; may be empty."""
        row = int(self.find([head], [relation])[0])
        return self.tails[:0] if row < 0 else self.tails[self.offsets[row] : self.offsets[row + 1]]

    def gather(self, heads: ArrayLike, relations: ArrayLike) -> tuple[Ids, Ids]:
        """All known answers of a batch of queries.

        Parameters
        ----------
        heads, relations
            (b,)

        Returns
        -------
        tuple of ndarray
            `row` and `tail`, two int64 arrays of the same length; tail[i] answers query row[i]. Rows ascend in 0..b-1,
            and tails ascend within a row: `scores[row, tail]` selects every known answer in a (b, e) matrix.
        """
        found = self.find(heads, relations)
        counts = np.where(found < 0, 0, self.offsets[found + 1] - self.offsets[found])
        row = np.repeat(np.arange(len(found)), counts)
        within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        return row, self.tails[np.repeat(self.offsets[found], counts) + within]

    def contains(self, heads: ArrayLike, relations: ArrayLike, tails: ArrayLike) -> NDArray[np.bool_]:
        """Whether each triple (b,) is known."""
        heads, relations, tails = (np.asarray(ids, dtype=np.int64) for ids in (heads, relations, tails))
        keys = (heads * self._num_relations + relations) * self._num_tails + tails
        possible = self._possible(heads, relations) & (tails >= 0) & (tails < self._num_tails)
        return _positions(self._triples, keys, possible) >= 0

    def _possible(self, heads: Ids, relations: Ids) -> NDArray[np.bool_]:
        """Whether the ids are in range; others would collide with other keys, or overflow."""
        return (heads >= 0) & (heads <= self._last_head) & (relations >= 0) & (relations < self._num_relations)


def _positions(ordered: Ids, keys: Ids, possible: NDArray[np.bool_]) -> Ids:
    """The position of each key in an ascending array; -1 if it is absent or not possible."""
    if len(ordered) == 0:
        return np.full(keys.shape, -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.where(possible & (ordered[place] == keys), place, -1)
