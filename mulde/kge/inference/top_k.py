"""Best answers to many questions at once, as arrays of ids: tails, relations, nearest entities; scores of triples.

A triple is read in two ways, (h, r, ?) → t and (?, r, t) → h through the reciprocal relation, and a model gives each
its own score. Tails and heads are ranked by the reading that was asked; a whole triple, and the relation between two
entities, by the mean of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.tripleset import SPLITS, TripleSet
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
    """The k best answers of b questions, best first; a row with fewer ends in ids of -1."""

    ids: Ids
    """(b, k)"""
    scores: NDArray[Any]
    """(b, k)"""
    ranks: Ids
    """(b, k) places among all candidates, from 1, also of those that were left out."""


class Known:
    """What a graph contains, for answers: which are to be left out, and which split holds a triple."""

    def __init__(self, graph: TripleSet):
        self._graph = graph

    @cached_property
    def answers(self) -> KnownAnswers:
        """Of all splits, in both directions; internal relation ids."""
        return known_answers(self._graph)

    def split(self, heads: Ids, relations: Ids, tails: Ids) -> Ids:
        """For each triple (b,), user relation ids, the first split that holds it, by its place in SPLITS; or -1."""
        place = np.full(len(heads), -1, dtype=np.int64)
        for number, part in reversed(list(enumerate(self._splits))):
            place[part.contains(heads, relations, tails)] = number
        return place

    @cached_property
    def _splits(self) -> list[KnownAnswers]:
        return [KnownAnswers(getattr(self._graph, split)) for split in SPLITS]


def best_tails(model: KGEModel, heads: Ids, relations: Ids, k: int, leave_out: KnownAnswers | None = None) -> Best:
    """The best tails of queries (b,) with internal relation ids; ``leave_out``: answers that are not wanted.

    Equal queries are scored once. Raises mulde.metrics.ranks.NonFiniteScores.
    """
    keys, first, again = np.unique(
        heads * (2 * model.num_relations) + relations, return_index=True, return_inverse=True
    )
    heads, relations = heads[first], relations[first]
    queries = torch.from_numpy(heads), torch.from_numpy(relations)
    found = _empty(len(keys), min(k, model.num_entities), model.entity)
    for rows, scores in model.answers(*queries):
        refuse_non_finite(scores)
        place = rows.cpu().numpy()
        pairs = None if leave_out is None else leave_out.gather(heads[place], relations[place])
        _fill(found, place, scores, pairs)
    return Best(found.ids[again], found.scores[again], found.ranks[again])


def best_relations(model: KGEModel, heads: Ids, tails: Ids, k: int, leave_out: KnownAnswers | None = None) -> Best:
    """The best relations (user ids) of pairs of entities (b,), by the mean of both readings."""
    count = model.num_relations
    every = np.arange(count)
    found = _empty(len(heads), min(k, count), model.entity)
    height = max(1, PAIRS // count)
    for start in range(0, len(heads), height):
        rows = np.arange(start, min(start + height, len(heads)))
        triples = np.repeat(heads[rows], count), np.tile(every, len(rows)), np.repeat(tails[rows], count)
        scores = torch.from_numpy(score_both_directions(model, *triples).mean(1).reshape(len(rows), count))
        refuse_non_finite(scores)
        pairs = None
        if leave_out is not None:
            known = leave_out.contains(triples[0], 2 * triples[1], triples[2])
            pairs = np.divmod(np.flatnonzero(known), count)
        _fill(found, rows, scores, pairs)
    return found


def nearest(model: KGEModel, entities: Ids, k: int, curvature: float | None = None) -> Best:
    """The k nearest other entities of each entity (b,); ``scores`` are distances, the least first.

    Distances are geodesics of the Poincaré ball in hyperbolic models, at ``curvature`` (by default `middle_curvature`),
    and lengths of differences in Euclidean ones.
    """
    found = _empty(len(entities), min(k, model.num_entities - 1), model.entity)
    for rows, scores in _negative_squared_distances(model, entities, curvature):
        refuse_non_finite(scores)
        scores[torch.arange(len(rows)), torch.from_numpy(entities)[rows.cpu()]] = -torch.inf  # not itself
        _fill(found, rows.cpu().numpy(), scores, None)
    return Best(found.ids, np.sqrt(np.maximum(-found.scores, 0)), found.ranks)


def middle_curvature(model: KGEModel) -> float | None:
    """The median over the relations of a hyperbolic model's curvatures; None in flat space."""
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


def _empty(rows: int, k: int, like: Tensor) -> Best:
    scores = np.full((rows, k), np.nan, dtype=np.float64 if like.dtype == torch.float64 else np.float32)
    return Best(np.full((rows, k), -1, dtype=np.int64), scores, np.zeros((rows, k), dtype=np.int64))


def _fill(found: Best, rows: Ids, scores: Tensor, leave_out: tuple[Ids, Ids] | None) -> None:
    """Write the best columns of scores (n, c) into these rows; positions ``leave_out`` of the scores do not count."""
    if leave_out is not None:
        row, column = (torch.from_numpy(part).to(scores.device) for part in leave_out)
        hidden = scores[row, column]
        scores[row, column] = -torch.inf
    ids, values = selection.best(scores, found.ids.shape[1])
    ranks = torch.arange(1, ids.shape[1] + 1, device=ids.device).repeat(len(ids), 1)
    if leave_out is not None:  # an answer's place counts the hidden ones that are before it
        before = (hidden.unsqueeze(1) > values[row]) | (
            (hidden.unsqueeze(1) == values[row]) & (column.unsqueeze(1) < ids[row])
        )
        ranks.index_add_(0, row, before.long())
    gone = values == -torch.inf
    found.ids[rows] = ids.masked_fill(gone, -1).cpu().numpy()
    found.scores[rows] = values.masked_fill(gone, torch.nan).cpu().numpy()
    found.ranks[rows] = ranks.masked_fill(gone, 0).cpu().numpy()
