"""Fit of the graph prior: one weight for each relation and direction, on the validation split.

For a validation query (h, r, ?) let A be the log-sum-exp of the scores of all candidates that answer r in the training
graph, and B that of the others. Under softmax, the answer is among the former with probability

    p = σ(w_r + A - B)

so w_r is the intercept of a logistic regression with the offset A - B. A normal prior of variance `PRIOR` keeps it near
0 for relations with few queries. Newton's method finds it. Test triples are neither queries nor part of the filter. The
weights are kept if they raise the validation MRR, which is filtered as in every evaluation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import inverse_of, num_internal, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.nested import cropped

PRIOR = 1.0
MAX_TRIPLES = 5_000_000  # training triples up to which it is fitted; the index takes some 200 bytes for each
MAX_SCORES = 1 << 30  # bound on the scores of the fit; on a large graph some validation triples are drawn
BOUND = 60.0  # on |A - B|; σ is 0 or 1 in any precision


def fit_graph_prior(model: KGEModel, graph: TripleSet, known: KnownAnswers | None = None) -> GraphPrior | None:
    """The graph prior of a trained model.

    Parameters
    ----------
    model
        The model, in eval mode; it is not changed.
    graph
        The graph that it was trained on.
    known
        The filter of the evaluation, as for `evaluate`.

    Returns
    -------
    The prior; None if it does not raise the MRR on the validation split, if there are no validation triples, or if
    the graph has more than `MAX_TRIPLES` training triples. For a model with several ``dims`` it holds the weights of
    each size, zeros where they do not raise the MRR.
    """
    if not len(graph.valid) or len(graph.train) > MAX_TRIPLES:
        return None
    prior = _fitted(model, graph, known)
    if prior is None or not model.config.dims:
        return prior
    smaller = [_fitted(cropped(model, dim), graph, known) for dim in model.config.dims[:-1]]
    of_sizes = [prior.weights.new_zeros(len(prior.weights)) if each is None else each.weights for each in smaller]
    return GraphPrior(prior.weights, prior.index, torch.stack(of_sizes)) if of_sizes else prior


def _fitted(model: KGEModel, graph: TripleSet, known: KnownAnswers | None) -> GraphPrior | None:
    """The prior of a model's own size, if it raises the validation MRR."""
    sample = max(100, MAX_SCORES // (2 * graph.num_entities))
    count = num_internal(graph.num_relations)
    queries = with_reciprocals(_sample(graph.valid, sample))
    prior = GraphPrior(torch.zeros(count, dtype=model.entity.dtype), graph.train)
    offsets = offsets_of(model, queries, graph, prior)
    answers = prior.index.known.find(queries[:, 2], inverse_of(queries[:, 1])) >= 0
    prior.weights.copy_(torch.from_numpy(fit(queries[:, 1], offsets, answers, count)))
    without, before = evaluate(model, graph, "valid", known, sample=sample, embeddings_only=True), model.graph_prior
    try:
        together = evaluate(model.set_graph_prior(prior), graph, "valid", known, sample=sample)
    finally:
        model.set_graph_prior(before)
    return prior if together.metrics()["mrr"] > without.metrics()["mrr"] else None


def fit(
    relations: NDArray[np.int64], offsets: NDArray[np.float64], answers: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """Maximum a posteriori weights.

    Parameters
    ----------
    relations
        (n,) internal relation of each query, below ``count``.
    offsets
        (n,) A - B of each query.
    answers
        (n,) whether the tail of each query answers the relation in the training graph.
    count
        Number of internal relations.

    Returns
    -------
    (count,) float64.
    """
    weights = np.zeros(count)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(weights[relations] + offsets, -BOUND, BOUND)))
        gradient = np.bincount(relations, answers - chance, count) - weights / PRIOR
        curvature = np.bincount(relations, chance * (1 - chance), count) + 1 / PRIOR
        step = np.clip(gradient / curvature, -1, 1)  # a full step may overshoot far from the optimum
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def offsets_of(
    model: KGEModel, queries: NDArray[np.int64], graph: TripleSet, prior: GraphPrior | None = None
) -> NDArray[np.float64]:
    """A - B of queries.

    Parameters
    ----------
    model, graph
        A model and its graph.
    queries
        (n, 3) heads, internal relations and tails. Other tails known from train and valid are not candidates.
    prior
        A graph prior over the training triples, with any weights; None makes one.

    Returns
    -------
    (n,) float64, within ±`BOUND`.
    """
    prior = prior or GraphPrior(torch.zeros(num_internal(graph.num_relations)), graph.train)
    known = KnownAnswers(with_reciprocals(np.concatenate([graph.train, graph.valid])))
    heads, relations, tails = torch.from_numpy(queries).unbind(1)
    found = np.empty(len(queries))
    for rows, scores in model.blocks(heads, relations):
        rows, scores = rows.cpu(), scores.cpu()
        row, others = map(torch.from_numpy, known.gather(heads[rows].numpy(), relations[rows].numpy()))
        kept = others != tails[rows][row]
        scores[row[kept], others[kept]] = -torch.inf
        scores.sub_(scores.amax(1, keepdim=True)).exp_()  # underflow means an offset beyond `BOUND`
        inside = scores.new_empty(len(scores))
        for place, (relation, own) in enumerate(zip(relations[rows].tolist(), scores, strict=True)):
            answering = torch.from_numpy(prior.index.answering(relation))
            inside[place] = own[answering].sum()
            own[answering] = 0
        found[rows.numpy()] = (inside / scores.sum(1)).log()
    return np.clip(np.nan_to_num(found, posinf=BOUND, neginf=-BOUND), -BOUND, BOUND)


def _sample(triples: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    if len(triples) <= size:
        return triples
    return triples[np.sort(np.random.default_rng(0).choice(len(triples), size, replace=False))]
