"""What a model must do to answer queries, by ids. Imports no torch.

A triple has two scores, that of its tail as an answer to (h, r, ?) and that of its head as an answer to (?, r, t).
Scores are those of the complete model, embeddings with mask of self-loops and graph prior, or those of the embeddings
only. Tails and heads are ranked by the score of their own direction, relations by the mean of both directions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, reciprocal_id, with_reciprocals
from kge_data.keys import Ids
from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import NonFiniteError
from mulde.kge.model.columns import best_columns
from mulde.kge.model.graph_terms import GraphTerms

PAIRS = 1 << 16  # triples scored at a time


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
    def empty(cls, rows: int, k: int, dtype: Any) -> Best:
        """No answers."""
        shape = rows, k
        return cls(np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan, dtype), np.zeros(shape, dtype=np.int64))

    def fill(self, rows: Ids, ids: Ids, values: NDArray[Any], hidden: tuple[Ids, Ids, NDArray[Any]] | None) -> None:
        """Write the best candidates (n, k) of some rows; those with a score of -inf are none.

        ``hidden``: rows among these, ids and scores (m,) of the candidates that were left out.
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

    def fill_best(self, rows: Ids, scores: NDArray[Any], pairs: tuple[Ids, Ids] | None) -> None:
        """Write the best columns of scores (n, e), which are changed, without the positions ``pairs``.

        Raises
        ------
        mulde.errors.NonFiniteError
            If a score is NaN or infinite.
        """
        if not np.isfinite(scores.sum()) and not np.isfinite(scores).all():
            raise NonFiniteError("a score is NaN or infinite; the model diverged, or its file is damaged")
        hidden = None
        if pairs is not None:
            hidden = *pairs, scores[pairs]
            scores[pairs] = -np.inf
        self.fill(rows, *best_columns(scores, self.ids.shape[1]), hidden)


class Predictor(ABC):
    """A model that answers queries: relation ids are those of the graph where both directions are scored."""

    num_entities: int
    num_relations: int
    dtype: Any
    """numpy type of the scores."""
    terms: GraphTerms
    """What the graph adds to the scores of the embeddings."""

    @abstractmethod
    def best_tails(
        self, heads: Ids, relations: Ids, k: int, leave_out: KnownAnswers | None = None, embeddings_only: bool = False
    ) -> Best:
        """The best tails of queries.

        Parameters
        ----------
        heads, relations
            (b,) entities and internal relations.
        k
            Number of answers.
        leave_out
            Answers to leave out.
        embeddings_only
            Without the mask of self-loops and the graph prior.

        Raises
        ------
        mulde.errors.NonFiniteError
            If the model gives NaN or infinity.
        """

    @abstractmethod
    def embedding_scores(self, heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
        """Scores (b, 2) of triples in both directions by the embeddings only."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What tells this model from another one, for JSON."""

    def scores(self, heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
        """Scores (b, 2) of triples in both directions by the complete model."""
        both = self.embedding_scores(heads, relations, tails)
        forward = self.terms.added(both[:, 0], heads, forward_id(relations), tails)
        return np.stack([forward, self.terms.added(both[:, 1], tails, reciprocal_id(relations), heads)], axis=1)

    def best_relations(
        self, heads: Ids, tails: Ids, k: int, leave_out: KnownAnswers | None = None, embeddings_only: bool = False
    ) -> Best:
        """The best relations, by ids of the graph, of pairs of entities (b,); see `best_tails`."""
        count = self.num_relations
        found = Best.empty(len(heads), min(k, count), self.dtype)
        height = max(1, PAIRS // count)
        for start in range(0, len(heads), height):
            rows = np.arange(start, min(start + height, len(heads)))
            triples = np.repeat(heads[rows], count), np.tile(np.arange(count), len(rows)), np.repeat(tails[rows], count)
            both = self.embedding_scores(*triples) if embeddings_only else self.scores(*triples)
            pairs = None
            if leave_out is not None:
                known = leave_out.contains(triples[0], forward_id(triples[1]), triples[2])
                pairs = np.divmod(np.flatnonzero(known), count)
            found.fill_best(rows, both.mean(1).reshape(len(rows), count), pairs)
        return found


def predictor_of(model: Any, graph: TripleSet) -> Predictor:
    """A model as a predictor: itself if it is one. Raises UsageError for a KGEModel of another graph."""
    if isinstance(model, Predictor):
        return model
    from mulde.kge.evaluation.link_prediction import refuse_other_graph
    from mulde.kge.inference.top_k import TorchPredictor

    refuse_other_graph(model, graph)
    return TorchPredictor(model)


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


def distinct_queries(heads: Ids, relations: Ids, num_relations: int) -> tuple[Ids, Ids, Ids]:
    """Distinct queries, heads and relations (q,), and the position (b,) of each query among them."""
    keys = heads * num_relations + relations
    _, first, again = np.unique(keys, return_index=True, return_inverse=True)
    return heads[first], relations[first], again
