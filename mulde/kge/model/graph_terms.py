"""What the graph adds to the scores of the embeddings: the mask of self-loops and the graph prior.

The same as ``KGEModel.answers`` adds, in numpy: for single triples, and for models that run without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.keys import Ids
from mulde.kge.model.prior_index import PriorIndex

MASKED = -1e9  # below every score, and finite, because other scores that are not finite are errors


def is_masked(score: Any) -> Any:
    """Whether scores, a number, array or tensor, are `MASKED`; the graph prior may have changed them a little."""
    return score < MASKED / 2


@dataclass(frozen=True)
class GraphTerms:
    """Mask and prior of a model; relation ids are internal."""

    self_loops: NDArray[np.bool_]
    """(2r,) whether a relation has self-loops in train; the query entity of the others is masked."""
    weights: NDArray[Any] | None = None
    """(2r,) weights of the graph prior; None without one."""
    index: PriorIndex | None = None
    """The training triples, for the graph prior."""

    def added(self, scores: NDArray[Any], heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
        """The complete scores (n,) of triples, from those of the embeddings."""
        if self.weights is not None and self.index is not None:
            another = self.index.answers_another(heads, relations, tails)
            scores = scores + (self.weights[relations] * another).astype(scores.dtype)
        return np.where((heads == tails) & ~self.self_loops[relations], MASKED, scores)

    def add_(self, scores: NDArray[Any], heads: Ids, relations: Ids) -> None:
        """Complete the scores (b, e) of all entities as answers to queries (b,), in place."""
        if self.weights is not None and self.index is not None:
            row, tail = self.index.known.gather(heads, relations)
            unique = ~self.index.answers_another(heads[row], relations[row], tail)
            row, tail = row[unique], tail[unique]  # answers of no other head
            before = scores[row, tail]
            for relation in np.unique(relations):
                rows = np.flatnonzero(relations == relation)
                scores[np.ix_(rows, self.index.answering(relation))] += self.weights[relation]
            scores[row, tail] = before
        masked = np.flatnonzero(~self.self_loops[relations])
        scores[masked, heads[masked]] = MASKED
