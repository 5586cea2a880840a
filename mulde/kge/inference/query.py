"""Answers to one question, with names, scores, and whether the graph already contains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.evaluation.link_prediction import refuse_other_graph
from mulde.kge.inference.onnx_runtime import Answer
from mulde.kge.inference.top_k import Best, Known, best_relations, best_tails, nearest
from mulde.kge.model.directions import Ids, score_both_directions
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import is_masked


@dataclass(frozen=True)
class Neighbour:
    """One entity near another: place (from 1), identifier, readable name, distance."""

    rank: int
    identifier: str
    label: str
    distance: float


@dataclass(frozen=True)
class Scored:
    """A triple's score, the mean of its two readings (`inference.top_k`); the place of its tail among all entities
    as answers to (head, relation, ?), known ones included; the split that contains it; and its probability."""

    score: float
    rank: int
    known_in: str | None
    probability: float | None


def question(graph: TripleSet, relation: str | None = None, head: str | None = None, tail: str | None = None) -> str:
    """The question in readable names, for instance "(head, relation, ?)". Raises as `predict` does."""
    _check(head, relation, tail)
    parts = [
        "?" if head is None else graph.entity_label(graph.entity_id(head)),
        "?" if relation is None else graph.relation_label(graph.relation_id(relation)),
        "?" if tail is None else graph.entity_label(graph.entity_id(tail)),
    ]
    return f"({', '.join(parts)})"


def predict(
    model: KGEModel,
    graph: TripleSet,
    *,
    relation: str | None = None,
    head: str | None = None,
    tail: str | None = None,
    top: int = 10,
    new: bool = False,
) -> list[Answer]:
    """The ``top`` best tails of (head, relation, ?), heads of (?, relation, tail) or relations of (head, ?, tail).

    Give two of the three; the third is the question. Names may be identifiers or readable names. ``new`` leaves out
    what the graph contains. The score of a relation is the mean of the triple's two readings, see `score`. What the
    model bars is no answer: the entity asked about, of a relation without loops in train.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If not exactly two of head, relation and tail are given, or the model is of another graph.
    """
    _check(head, relation, tail)
    refuse_other_graph(model, graph)
    known = Known(graph)
    leave_out = known.answers if new else None
    if relation is None:
        ends = _one(graph.entity_id(head or "")), _one(graph.entity_id(tail or ""))
        best = best_relations(model, *ends, top, leave_out)
        ids = _ids(best)
        triples = np.repeat(ends[0], len(ids)), ids, np.repeat(ends[1], len(ids))
        return _answers(best, ids, known.split(*triples), graph.relations, graph.relation_label)
    entity, asked = graph.entity_id(head if head is not None else tail or ""), graph.relation_id(relation)
    best = best_tails(model, _one(entity), _one(2 * asked + (head is None)), top, leave_out)
    ids = _ids(best)
    own, relations = np.repeat(entity, len(ids)), np.repeat(asked, len(ids))
    triples = (ids, relations, own) if head is None else (own, relations, ids)
    return _answers(best, ids, known.split(*triples), graph.entities, graph.entity_label)


def score(
    model: KGEModel, graph: TripleSet, *, head: str, relation: str, tail: str, calibration: Calibration | None = None
) -> Scored:
    """What a model holds of a triple. Raises as `predict` does for unknown names and another graph."""
    refuse_other_graph(model, graph)
    ids = _one(graph.entity_id(head)), _one(graph.relation_id(relation)), _one(graph.entity_id(tail))
    both = score_both_directions(model, *ids)
    every = best_tails(model, ids[0], 2 * ids[1], model.num_entities).ids[0]
    return Scored(
        float(both.mean()),
        int(np.flatnonzero(every == ids[2])[0]) + 1,
        _split(int(Known(graph).split(*ids)[0])),
        None if calibration is None else float(calibration.probabilities(ids[1], both)[0]),
    )


def neighbours(
    model: KGEModel, graph: TripleSet, entity: str, *, top: int = 10, curvature: float | None = None
) -> list[Neighbour]:
    """The entities nearest to one, by the distance that `mulde.kge.inference.top_k.nearest` describes; see there.

    Raises as `predict` does for unknown names and another graph.
    """
    refuse_other_graph(model, graph)
    best = nearest(model, _one(graph.entity_id(entity)), top, curvature)
    found = zip(best.ids[0].tolist(), best.scores[0].tolist(), strict=True)
    return [
        Neighbour(rank, graph.entities[other], graph.entity_label(other), distance)
        for rank, (other, distance) in enumerate(found, 1)
    ]


def _check(head: str | None, relation: str | None, tail: str | None) -> None:
    if sum(part is None for part in (head, relation, tail)) != 1:
        raise UsageError("predict needs exactly two of head, relation and tail; the third one is the question")


def _split(place: int) -> str | None:
    return SPLITS[place] if place >= 0 else None


def _one(number: int) -> Ids:
    return np.array([number])


def _ids(best: Best) -> Ids:
    """Answers to a single question, of which those that are missing or masked come last."""
    return best.ids[0][(best.ids[0] >= 0) & ~is_masked(best.scores[0])]


def _answers(
    best: Best, ids: Ids, splits: Ids, identifiers: Sequence[str], label: Callable[[int], str]
) -> list[Answer]:
    rows = zip(best.ranks[0].tolist(), ids.tolist(), best.scores[0].tolist(), splits.tolist(), strict=False)
    return [Answer(rank, identifiers[place], label(place), value, _split(split)) for rank, place, value, split in rows]
