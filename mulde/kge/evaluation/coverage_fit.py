"""Calibration of answer sets on a half of validation that nothing else has used.

Validation has chosen the epoch, the graph prior and the probabilities of a trained model. Quantiles that are calibrated
on the same triples would be too small. So validation is split at random: the first half fits the graph prior anew, the
second one gives the quantiles. Probabilities have no part in a set. The choice of the epoch remains: it was made on
both halves. Answers in train are no candidates, here and when a set is made; valid and test are not used as a filter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.keys import Ids, distinct_triples
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.coverage import OWN, Coverage, fit_groups
from mulde.kge.evaluation.graph_prior_fit import fit_graph_prior
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.metrics.ranks import refuse_non_finite

FEWEST = 50  # validation triples


def fit_coverage(model: KGEModel, graph: TripleSet, weights: str = "", filtered: bool = True) -> Coverage | None:
    """The quantiles of a model; None with fewer than 50 validation triples that train does not contain.

    Parameters
    ----------
    model, graph
        A model and its graph.
    weights
        Checksum of the model's weights, kept with the quantiles.
    filtered
        Whether answers in train are no candidates.
    """
    first, second = halves(new_triples(graph, "valid"))
    if len(first) + len(second) < FEWEST:
        return None
    prior = None
    if model.graph_prior is not None:
        none = np.zeros((0, 3), dtype=np.int64)
        prior = fit_graph_prior(model, TripleSet(graph.name, graph.train, first, none, graph.entities, graph.relations))
    queries = with_reciprocals(second)
    counts = np.bincount(with_reciprocals(first)[:, 1], minlength=2)
    known = train_answers(graph) if filtered else None
    with another_prior(model, prior):
        losses, ranks = losses_and_ranks(model, queries, known)
    groups = fit_groups(queries[:, 1], losses, ranks, np.flatnonzero(counts >= OWN))
    return Coverage(groups, None if prior is None else tuple(prior.weights.tolist()), filtered, weights)


def new_triples(graph: TripleSet, split: str) -> Ids:
    """The triples (n, 3) of a split that train does not contain, each once, in lexicographic order."""
    triples = distinct_triples(getattr(graph, split))
    return triples[~KnownAnswers(graph.train).contains(*triples.T)]


def halves(triples: Ids) -> tuple[Ids, Ids]:
    """Two random halves of triples (n, 3), the same in each call."""
    shuffled = np.random.default_rng(0).permutation(triples)
    return shuffled[: len(triples) // 2], shuffled[len(triples) // 2 :]


def train_answers(graph: TripleSet) -> KnownAnswers:
    """The answers in train, in both directions."""
    return KnownAnswers(with_reciprocals(graph.train))


@contextmanager
def another_prior(model: KGEModel, prior: GraphPrior | None) -> Iterator[KGEModel]:
    """A model with another graph prior in the block."""
    before = model.graph_prior
    try:
        yield model.set_graph_prior(prior)
    finally:
        model.set_graph_prior(before)


def losses_and_ranks(model: KGEModel, queries: Ids, known: KnownAnswers | None) -> tuple[NDArray[np.float64], Ids]:
    """-log p and rank of the answers of queries.

    Parameters
    ----------
    model
        A model.
    queries
        (n, 3) heads, internal relations and tails that are the answers.
    known
        Answers that are no candidates; the tails of the queries are not among them.

    Returns
    -------
    -log p (n,) float64, and the rank (n,) int64 among the candidates; ties count against the model.
    """
    losses, ranks = np.empty(len(queries)), np.empty(len(queries), dtype=np.int64)
    for rows, scores in candidate_scores(model, queries[:, 0], queries[:, 1], known):
        own = scores.gather(1, torch.from_numpy(queries[rows, 2]).to(scores.device).unsqueeze(1))
        losses[rows] = (scores.logsumexp(1) - own[:, 0]).double().cpu().numpy()
        ranks[rows] = (scores >= own).sum(1).cpu().numpy()
    return losses, ranks


def candidate_scores(
    model: KGEModel, heads: Ids, relations: Ids, known: KnownAnswers | None
) -> Iterator[tuple[Ids, torch.Tensor]]:
    """Yield rows, and scores (len(rows), e) of the complete model, -inf for answers that are no candidates.

    Parameters
    ----------
    model
        A model.
    heads, relations
        (b,) entities and internal relations.
    known
        Answers that are no candidates; None: all entities are.

    Raises
    ------
    mulde.metrics.ranks.NonFiniteScores
        If the model gives NaN or infinity.
    """
    for rows, scores in model.answers(torch.from_numpy(heads), torch.from_numpy(relations)):
        refuse_non_finite(scores)
        place = rows.cpu().numpy()
        if known is not None:
            row, tail = map(torch.from_numpy, known.gather(heads[place], relations[place]))
            scores[row.to(scores.device), tail.to(scores.device)] = -torch.inf
        yield place, scores
