"""Best answers to many queries at once, as arrays of ids: tails, relations, nearest entities.

A triple has two scores, that of its tail as an answer to (h, r, ?) and that of its head as an answer to (?, r, t).
Tails and heads are ranked by the score of their own direction, relations by the mean of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, num_internal
from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.geometry import poincare
from mulde.geometry.spaces import Euclidean, PoincareBall
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.model import scoring, selection
from mulde.kge.model.directions import PAIRS, Ids, score_both_directions
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import Queries, Tails
from mulde.metrics.ranks import refuse_non_finite


@dataclass(frozen=True)
class Best:
    """The k best answers to b queries, best first; a row with fewer answers is filled with ids of -1."""

    ids: Ids
    """(b, k)"""
    scores: NDArray[Any]
    """(b, k)"""
    ranks: Ids
    """(b, k) positions among all candidates, from 1; candidates that are left out count."""


class Known:
    """Known triples of a graph: the filter of answers, and the split of a triple."""

    def __init__(self, graph: TripleSet):
        self._graph = graph

    @cached_property
    def answers(self) -> KnownAnswers:
        """Known answers of all splits in both directions, by internal relation ids."""
        return known_answers(self._graph)

    def split(self, heads: Ids, relations: Ids, tails: Ids) -> Ids:
        """For each triple (b,), with relation ids of the graph: position in SPLITS of its first split, or -1."""
        place = np.full(len(heads), -1, dtype=np.int64)
        for number, part in reversed(list(enumerate(self._splits))):
            place[part.contains(heads, relations, tails)] = number
        return place

    @cached_property
    def _splits(self) -> list[KnownAnswers]:
        return [KnownAnswers(getattr(self._graph, split)) for split in SPLITS]


def best_tails(model: KGEModel, heads: Ids, relations: Ids, k: int, leave_out: KnownAnswers | None = None) -> Best:
    """The best tails of queries. Equal queries are scored once.

    Parameters
    ----------
    model
        A model.
    heads, relations
        (b,) entities and internal relations.
    k
        Number of answers.
    leave_out
        Answers to leave out.

    Raises
    ------
    mulde.metrics.ranks.NonFiniteScores
        If the model gives NaN or infinity.
    """
    keys, first, again = np.unique(
        heads * num_internal(model.num_relations) + relations, return_index=True, return_inverse=True
    )
    heads, relations = heads[first], relations[first]
    queries = torch.from_numpy(heads), torch.from_numpy(relations)
    found = _empty(len(keys), k, model.num_entities, model.entity)
    for rows, scores in model.answers(*queries):
        refuse_non_finite(scores)
        place = rows.cpu().numpy()
        pairs = None if leave_out is None else leave_out.gather(heads[place], relations[place])
        _fill(found, place, scores, pairs)
    return Best(found.ids[again], found.scores[again], found.ranks[again])


def best_relations(model: KGEModel, heads: Ids, tails: Ids, k: int, leave_out: KnownAnswers | None = None) -> Best:
    """The best relations (ids of the graph) of pairs of entities (b,), by the mean score of both directions."""
    count = model.num_relations
    every = np.arange(count)
    found = _empty(len(heads), k, count, model.entity)
    height = max(1, PAIRS // count)
    for start in range(0, len(heads), height):
        rows = np.arange(start, min(start + height, len(heads)))
        triples = np.repeat(heads[rows], count), np.tile(every, len(rows)), np.repeat(tails[rows], count)
        scores = torch.from_numpy(score_both_directions(model, *triples).mean(1).reshape(len(rows), count))
        refuse_non_finite(scores)
        pairs = None
        if leave_out is not None:
            known = leave_out.contains(triples[0], forward_id(triples[1]), triples[2])
            pairs = np.divmod(np.flatnonzero(known), count)
        _fill(found, rows, scores, pairs)
    return found


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
    found = _empty(len(entities), k, model.num_entities - 1, model.entity)
    for rows, scores in _negative_squared_distances(model, entities, curvature):
        refuse_non_finite(scores)
        scores[torch.arange(len(rows)), torch.from_numpy(entities)[rows.cpu()]] = -torch.inf  # not itself
        _fill(found, rows.cpu().numpy(), scores, None)
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


def _empty(rows: int, k: int, most: int, like: Tensor) -> Best:
    """Room for the k best of ``most`` candidates. Raises UsageError for an impossible k."""
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise UsageError(f"the number of answers must be a whole number of at least 1; got {k!r}")
    k = min(int(k), most)
    scores = np.full((rows, k), np.nan, dtype=np.float64 if like.dtype == torch.float64 else np.float32)
    return Best(np.full((rows, k), -1, dtype=np.int64), scores, np.zeros((rows, k), dtype=np.int64))


def _fill(found: Best, rows: Ids, scores: Tensor, leave_out: tuple[Ids, Ids] | None) -> None:
    """Write the best columns of scores (n, c) into these rows, without the positions ``leave_out``."""
    if leave_out is not None:
        row, column = (torch.from_numpy(part).to(scores.device) for part in leave_out)
        hidden = scores[row, column]
        scores[row, column] = -torch.inf
    ids, values = selection.best(scores, found.ids.shape[1])
    ranks = torch.arange(1, ids.shape[1] + 1, device=ids.device).repeat(len(ids), 1)
    if leave_out is not None:  # hidden answers before an answer count for its rank
        before = (hidden.unsqueeze(1) > values[row]) | (
            (hidden.unsqueeze(1) == values[row]) & (column.unsqueeze(1) < ids[row])
        )
        ranks.index_add_(0, row, before.long())
    gone = values == -torch.inf
    found.ids[rows] = ids.masked_fill(gone, -1).cpu().numpy()
    found.scores[rows] = values.masked_fill(gone, torch.nan).cpu().numpy()
    found.ranks[rows] = ranks.masked_fill(gone, 0).cpu().numpy()
