"""The best answers to many queries, as arrays of ids. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.keys import Ids
from mulde.errors import NonFiniteError, UsageError
from mulde.kge.model.columns import best_columns


@dataclass(frozen=True)
class Best:
    """The k best answers to b queries, best first; a row with fewer answers is filled with ids of -1."""

    ids: Ids
    """(b, k)"""
    scores: NDArray[Any]
    """(b, k)"""
    ranks: Ids
    """(b, k) positions among all candidates, from 1; candidates that are left out count."""

    @classmethod
    def empty(cls, rows: int, k: int, most: int, dtype: Any) -> Best:
        """Room for the k best of ``most`` candidates.

        Raises
        ------
        UsageError
            For an impossible k.
        """
        if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
            raise UsageError(f"the number of answers must be a whole number of at least 1; got {k!r}")
        shape = rows, min(int(k), most)
        return cls(np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan, dtype), np.zeros(shape, dtype=np.int64))

    def fill(self, rows: Ids, ids: Ids, values: NDArray[Any], hidden: tuple[Ids, Ids, NDArray[Any]] | None) -> None:
        """Write the best candidates (n, k) of some rows; those with a score of -inf are none.

        Parameters
        ----------
        hidden
            Rows among these, ids and scores (m,) of the candidates that were left out.
        """
        ranks = np.tile(np.arange(1, ids.shape[1] + 1), (len(ids), 1))
        if hidden is not None:  # hidden candidates before an answer count for its rank
            row, own, score = hidden[0], hidden[1][:, None], hidden[2][:, None]
            before = (score > values[row]) | ((score == values[row]) & (own < ids[row]))
            np.add.at(ranks, row, before)
        gone = values == -np.inf
        self.ids[rows] = np.where(gone, -1, ids)
        self.scores[rows] = np.where(gone, np.nan, values)
        self.ranks[rows] = np.where(gone, 0, ranks)

    def fill_best(
        self,
        rows: Ids,
        scores: NDArray[Any],
        pairs: tuple[Ids, Ids] | None,
        outside: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write the best columns of scores (n, e), which are changed, without the positions ``pairs``.

        ``outside`` (n, e): which columns are no candidates and do not count for ranks.

        Raises
        ------
        mulde.errors.NonFiniteError
            If a score is NaN or infinite.
        """
        if not np.isfinite(scores.sum()) and not np.isfinite(scores).all():
            raise NonFiniteError("a score is NaN or infinite; the model diverged, or its file is damaged")
        hidden = None
        if outside is not None:
            scores[outside] = -np.inf
        if pairs is not None:
            hidden = *pairs, scores[pairs]
            scores[pairs] = -np.inf
        self.fill(rows, *best_columns(scores, self.ids.shape[1]), hidden)


def distinct_queries(heads: Ids, relations: Ids, num_relations: int) -> tuple[Ids, Ids, Ids]:
    """Distinct queries, heads and relations (q,), and the position (b,) of each query among them."""
    keys = heads * num_relations + relations
    _, first, again = np.unique(keys, return_index=True, return_inverse=True)
    return heads[first], relations[first], again
