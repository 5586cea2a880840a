"""Prediction by name: tails, heads or relations of one query, scores of triples, neighbours of an entity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kge_data.inverse import forward_id, internal_id
from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.evaluation.link_prediction import refuse_other_graph
from mulde.kge.inference.results import Answer, Answers, Neighbour, Neighbours
from mulde.kge.inference.top_k import Best, Known, best_relations, best_tails, nearest
from mulde.kge.model.directions import Ids, score_both_directions
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import is_masked


@dataclass(frozen=True)
class Scored:
    """Score of a triple."""

    score: float
    """Mean of the scores in both directions."""
    rank: int
    """Position of the tail among all entities as answers to (head, relation, ?), known answers included."""
    known_in: str | None
    """First split that contains the triple; None for a new one."""
    probability: float | None
    """Calibrated probability; None without a calibration."""


def query_text(graph: TripleSet, relation: str | None = None, head: str | None = None, tail: str | None = None) -> str:
    """The query in readable names, for instance "(head, relation, ?)". Raises as `predict` does."""
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
    exclude_known: bool = False,
) -> Answers:
    """The best tails of (head, relation, ?), heads of (?, relation, tail), or relations of (head, ?, tail).

    Parameters
    ----------
    model, graph
        A model and its graph.
    relation, head, tail
        Two of the three, by identifier or readable name.
    top
        Number of answers.
    exclude_known
        Whether to leave out answers that the graph contains.

    Returns
    -------
    A list of answers that prints as a table. The score of a relation is the mean of the scores in both directions.
    Masked entities are not answers: the query entity, if the relation has no self-loop in train.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If not exactly two of head, relation and tail are given, or the model was trained on another graph.
    """
    text = query_text(graph, relation, head, tail)
    refuse_other_graph(model, graph)
    known = Known(graph)
    leave_out = known.answers if exclude_known else None
    if relation is None:
        ends = _array(graph.entity_id(head or "")), _array(graph.entity_id(tail or ""))
        best = best_relations(model, *ends, top, leave_out)
        ids = _ids(best)
        triples = np.repeat(ends[0], len(ids)), ids, np.repeat(ends[1], len(ids))
        return Answers(_answers(best, ids, known.split(*triples), graph.relations, graph.relation_label), text)
    entity, kind = graph.entity_id(head if head is not None else tail or ""), graph.relation_id(relation)
    best = best_tails(model, _array(entity), _array(internal_id(kind, head is None)), top, leave_out)
    ids = _ids(best)
    own, relations = np.repeat(entity, len(ids)), np.repeat(kind, len(ids))
    triples = (ids, relations, own) if head is None else (own, relations, ids)
    return Answers(_answers(best, ids, known.split(*triples), graph.entities, graph.entity_label), text)


def score(
    model: KGEModel, graph: TripleSet, *, head: str, relation: str, tail: str, calibration: Calibration | None = None
) -> Scored:
    """Score of a triple, from the embeddings only. Raises as `predict` does for unknown names and another graph."""
    refuse_other_graph(model, graph)
    ids = _array(graph.entity_id(head)), _array(graph.relation_id(relation)), _array(graph.entity_id(tail))
    both = score_both_directions(model, *ids)
    ranking = best_tails(model, ids[0], forward_id(ids[1]), model.num_entities).ids[0]
    return Scored(
        float(both.mean()),
        int(np.flatnonzero(ranking == ids[2])[0]) + 1,
        _split(int(Known(graph).split(*ids)[0])),
        None if calibration is None else float(calibration.probabilities(ids[1], both)[0]),
    )


def neighbours(
    model: KGEModel, graph: TripleSet, entity: str, *, top: int = 10, curvature: float | None = None
) -> Neighbours:
    """The entities nearest to one, by the distance of `mulde.kge.inference.top_k.nearest`.

    Returns a list that prints as a table. Raises as `predict` does for unknown names and another graph.
    """
    refuse_other_graph(model, graph)
    number = graph.entity_id(entity)
    best = nearest(model, _array(number), top, curvature)
    found = zip(best.ids[0].tolist(), best.scores[0].tolist(), strict=True)
    rows = [
        Neighbour(rank, graph.entities[other], graph.entity_label(other), distance)
        for rank, (other, distance) in enumerate(found, 1)
    ]
    return Neighbours(rows, graph.entity_label(number))


def _check(head: str | None, relation: str | None, tail: str | None) -> None:
    if sum(part is None for part in (head, relation, tail)) != 1:
        raise UsageError("predict needs exactly two of head, relation and tail, and predicts the third one")


def _split(place: int) -> str | None:
    return SPLITS[place] if place >= 0 else None


def _array(number: int) -> Ids:
    return np.array([number])


def _ids(best: Best) -> Ids:
    """Answers to a single query; missing and masked ones, which come last, are left out."""
    return best.ids[0][(best.ids[0] >= 0) & ~is_masked(best.scores[0])]


def _answers(
    best: Best, ids: Ids, splits: Ids, identifiers: Sequence[str], label: Callable[[int], str]
) -> Iterator[Answer]:
    rows = zip(best.ranks[0].tolist(), ids.tolist(), best.scores[0].tolist(), splits.tolist(), strict=False)
    return (Answer(rank, identifiers[place], label(place), value, _split(split)) for rank, place, value, split in rows)
