"""How far the local closed-world assumption holds for each relation: the weights of ``GraphPrior``, by validation.

For a validation query (h, r, ?) let A be the log-sum-exp of the scores of all candidates that answer r already, and B
that of the others. Under softmax, the answer is one of the former with probability

    p = σ(w_r + A - B)

so w_r is the intercept of a logistic regression with the offset A - B, one number for each relation and direction,
with a normal prior of variance `PRIOR` that keeps it near 0 where there are few queries. Newton's method finds it,
without test triples: neither are they asked, nor do they filter. Whether the weights are kept is decided by the
validation MRR, whose filter is that of every evaluation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.inverse import inverse_of, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel

PRIOR = 1.0
LARGEST = 5_000_000  # training triples up to which it is learned: its index takes some 200 bytes for each
SCORES = 1 << 30  # scores, at most, from which it is learned: on a large graph some validation triples are drawn
LEAST = 60.0  # |A - B| at most: σ is 0 or 1 in any precision


def fit_graph_prior(model: KGEModel, graph: TripleSet, known: KnownAnswers | None = None) -> GraphPrior | None:
    """The weights for a trained model; None where they do not raise its MRR on the validation split.

    None also for a graph that is too large (`LARGEST`) or has no validation triples.

    ``known``: the filter of the evaluation, as for `evaluate`.
    """
    if not len(graph.valid) or len(graph.train) > LARGEST:
        return None
    sample = max(100, SCORES // (2 * graph.num_entities))
    asked = with_reciprocals(_some(graph.valid, sample))
    world = GraphPrior(torch.zeros(2 * graph.num_relations, dtype=model.entity.dtype), graph.train)
    offsets = offsets_of(model, asked, graph, world)
    answers = world.known.find(asked[:, 2], inverse_of(asked[:, 1])) >= 0
    weights = fit(asked[:, 1], offsets, answers, 2 * graph.num_relations)
    world.weights.copy_(torch.from_numpy(weights))
    alone, before = evaluate(model, graph, "valid", known, sample=sample, embeddings_only=True), model.graph_prior
    try:
        together = evaluate(model.set_graph_prior(world), graph, "valid", known, sample=sample)
    finally:
        model.set_graph_prior(before)
    return world if together.metrics()["mrr"] > alone.metrics()["mrr"] else None


def fit(
    relations: NDArray[np.int64], offsets: NDArray[np.float64], answers: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """The most probable weights (count,), given of each query (n,) its relation, A - B, and whether its tail answers
    the relation already."""
    weights = np.zeros(count)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(weights[relations] + offsets, -LEAST, LEAST)))
        slope = np.bincount(relations, answers - chance, count) - weights / PRIOR
        bend = np.bincount(relations, chance * (1 - chance), count) + 1 / PRIOR
        step = np.clip(slope / bend, -1, 1)  # far from the end a whole step may overshoot
        weights += step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def offsets_of(
    model: KGEModel, asked: NDArray[np.int64], graph: TripleSet, world: GraphPrior | None = None
) -> NDArray[np.float64]:
    """A - B of queries with internal relations and their tails (n, 3).

    What train and valid hold besides the tail is left out. ``world``: that of the graph, if it is there already.
    """
    world = world or GraphPrior(torch.zeros(2 * graph.num_relations), graph.train)
    known = KnownAnswers(with_reciprocals(np.concatenate([graph.train, graph.valid])))
    heads, relations, tails = torch.from_numpy(asked).unbind(1)
    found = np.empty(len(asked))
    for rows, scores in model.blocks(heads, relations):
        rows, scores = rows.cpu(), scores.cpu()
        row, others = map(torch.from_numpy, known.gather(heads[rows].numpy(), relations[rows].numpy()))
        kept = others != tails[rows][row]
        scores[row[kept], others[kept]] = -torch.inf
        scores.sub_(scores.amax(1, keepdim=True)).exp_()  # what underflows is beyond `LEAST` in any case
        inside = scores.new_empty(len(scores))
        for place, (relation, own) in enumerate(zip(relations[rows].tolist(), scores, strict=True)):
            answering = torch.from_numpy(world.answering(relation))
            inside[place] = own[answering].sum()
            own[answering] = 0
        found[rows.numpy()] = (inside / scores.sum(1)).log()
    return np.clip(np.nan_to_num(found, posinf=LEAST, neginf=-LEAST), -LEAST, LEAST)


def _some(triples: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    if len(triples) <= most:
        return triples
    return triples[np.sort(np.random.default_rng(0).choice(len(triples), most, replace=False))]
