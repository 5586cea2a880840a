"""What a model must do to answer queries, by ids. Imports no torch.

A triple has two scores, that of its tail as an answer to (h, r, ?) and that of its head as an answer to (?, r, t).
Scores are those of the complete model, embeddings with mask of self-loops and graph prior, or those of the embeddings
only. Tails and heads are ranked by the score of their own direction, relations by the mean of both directions.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, reciprocal_id
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.candidate_sets import CandidateSets
from mulde.kge.inference.best import Best
from mulde.kge.model.graph_terms import GraphTerms

PAIRS = 1 << 16  # triples scored at a time


class Predictor(ABC):
    """A model that answers queries: relation ids are those of the graph where both directions are scored."""

    num_entities: int
    num_relations: int
    dtype: Any
    """numpy type of the scores."""
    terms: GraphTerms
    """What the graph adds to the scores of the embeddings."""
    among: CandidateSets | None = None
    """The candidates for heads and tails; None: all entities."""

    def restricted(self, among: CandidateSets) -> Self:
        """The same model with other candidates for heads and tails; relations and whole triples are as before."""
        found = copy.copy(self)
        found.among = among
        return found

    def with_prior(self, embeddings_only: bool) -> bool:
        """Whether ranks and scores include a graph prior."""
        return self.terms.weights is not None and not embeddings_only

    @abstractmethod
    def best_tails(
        self, heads: Ids, relations: Ids, k: int, leave_out: KnownAnswers | None = None, embeddings_only: bool = False
    ) -> Best:
        """The best tails of queries; ranks are among the candidates.

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
        found = Best.empty(len(heads), k, count, self.dtype)
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
    """A model as a predictor: itself if it is one.

    Raises
    ------
    UsageError
        For a KGEModel of another graph.
    """
    if isinstance(model, Predictor):
        return model
    from mulde.kge.evaluation.link_prediction import refuse_other_graph
    from mulde.kge.inference.top_k import TorchPredictor

    refuse_other_graph(model, graph)
    return TorchPredictor(model)
