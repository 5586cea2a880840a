"""Predictions with torch: best answers to many queries at once, nearest entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import num_internal
from mulde.engine.provenance import fingerprint
from mulde.geometry import poincare
from mulde.geometry.spaces import Euclidean, PoincareBall
from mulde.kge.inference.best import Best, distinct_queries
from mulde.kge.inference.predictor import Predictor
from mulde.kge.model import scoring, selection
from mulde.kge.model.directions import Ids, score_both_directions
from mulde.kge.model.graph_terms import GraphTerms
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import Queries, Tails
from mulde.metrics.ranks import refuse_non_finite


class TorchPredictor(Predictor):
    """A `KGEModel` that answers queries. Equal queries are scored once."""

    def __init__(self, model: KGEModel):
        self.model = model
        self.num_entities, self.num_relations = model.num_entities, model.num_relations
        self.dtype = _dtype(model)
        self_loops, prior = model.self_loops.cpu().numpy(), model.graph_prior
        self.terms = GraphTerms(self_loops)
        if prior is not None:
            self.terms = GraphTerms(self_loops, prior.weights.cpu().numpy(), prior.index)

    def best_tails(
        self, heads: Ids, relations: Ids, k: int, leave_out: KnownAnswers | None = None, embeddings_only: bool = False
    ) -> Best:
        model = self.model
        heads, relations, again = distinct_queries(heads, relations, num_internal(model.num_relations))
        queries = torch.from_numpy(heads), torch.from_numpy(relations)
        found = Best.empty(len(heads), k, model.num_entities, self.dtype)
        for rows, scores in self.blocks(*queries, embeddings_only):
            refuse_non_finite(scores)
            place, hidden = rows.cpu().numpy(), None
            if self.among is not None:
                outside = self.among.outside(relations[place], model.num_entities)
                scores[torch.from_numpy(outside).to(scores.device)] = -torch.inf
            if leave_out is not None:
                pairs = leave_out.gather(heads[place], relations[place])
                where = tuple(torch.from_numpy(part).to(scores.device) for part in pairs)
                hidden = *pairs, scores[where].cpu().numpy()
                scores[where] = -torch.inf
            found.fill(place, *_best(scores, found.ids.shape[1]), hidden)
        return Best(found.ids[again], found.scores[again], found.ranks[again])

    def blocks(self, heads: Tensor, relations: Tensor, embeddings_only: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (len(rows), e)) of queries (b,) with internal relation ids, every row once."""
        if embeddings_only:
            return self.model.blocks(heads, relations, embeddings_only=True)
        return self.model.answers(heads, relations)

    def embedding_scores(self, heads: Ids, relations: Ids, tails: Ids) -> NDArray[Any]:
        return score_both_directions(self.model, heads, relations, tails)

    def identity(self) -> dict[str, Any]:
        configuration = {"scorer": self.model.scorer.__name__, **asdict(self.model.config)}
        return {"model": fingerprint(self.model), "configuration": configuration}


def nearest(model: KGEModel, entities: Ids, k: int, curvature: float | None = None) -> Best:
    """The k nearest other entities of each entity (b,).

    Parameters
    ----------
    model
        A model.
    entities
        (b,) entities.
    k
        Number of neighbours.
    curvature
        Curvature of the ball, for hyperbolic models; None: `middle_curvature`.

    Returns
    -------
    ``scores`` are distances, the smallest first: geodesic distances in the Poincaré ball for hyperbolic models,
    Euclidean distances for others.
    """
    found = Best.empty(len(entities), k, model.num_entities - 1, _dtype(model))
    for rows, scores in _negative_squared_distances(model, entities, curvature):
        refuse_non_finite(scores)
        scores[torch.arange(len(rows)), torch.from_numpy(entities)[rows.cpu()]] = -torch.inf  # not itself
        found.fill(rows.cpu().numpy(), *_best(scores, found.ids.shape[1]), None)
    return Best(found.ids, np.sqrt(np.maximum(-found.scores, 0)), found.ranks)


def middle_curvature(model: KGEModel) -> float | None:
    """Median over the relations of a model's curvatures; None in flat space."""
    with torch.no_grad():
        curvature = model.curvature()
    return None if curvature is None else float(curvature.median())


@torch.no_grad()
def _negative_squared_distances(
    model: KGEModel, entities: Ids, curvature: float | None
) -> Iterator[tuple[Tensor, Tensor]]:
    points = model.entity[torch.from_numpy(entities).to(model.entity.device)]
    if (value := middle_curvature(model) if curvature is None else curvature) is None:
        return scoring.blocks(Queries(points), Tails(model.entity, None, Euclidean()))
    one, on_ball = points.new_tensor(value), model.config.parametrization == "manifold"
    every = Tails(model.entity, None, PoincareBall(manifold=on_ball))
    return scoring.blocks(Queries(points if on_ball else poincare.expmap0(points, one), one), every)


def _best(scores: Tensor, k: int) -> tuple[Ids, NDArray[Any]]:
    """Ids and scores (n, k) of the k best columns, in numpy."""
    ids, values = selection.best(scores, k)
    return ids.cpu().numpy(), values.cpu().numpy()


def _dtype(model: KGEModel) -> Any:
    return np.float64 if model.entity.dtype == torch.float64 else np.float32
