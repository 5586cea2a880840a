"""Prediction by name: tails, heads or relations of one query, scores of triples, neighbours of an entity.

Ranks and scores are those of the complete model (embeddings, mask of self-loops, graph prior), or of the embeddings
only. Probabilities are always of the embeddings only. Imports no torch; models may be a `KGEModel` or a `Predictor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kge_data.inverse import forward_id, internal_id
from kge_data.keys import Ids
from kge_data.tripleset import SPLITS, TripleSet
from mulde.config.values import Positive, typed
from mulde.errors import UsageError
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.inference.base_rate import odds_of_candidates
from mulde.kge.inference.known import Known
from mulde.kge.inference.predictor import Predictor, predictor_of
from mulde.kge.inference.results import Answer, Answers, Neighbour, Neighbours
from mulde.kge.model.graph_terms import is_masked

if TYPE_CHECKING:
    from mulde.kge.model.kge_model import KGEModel


@dataclass(frozen=True)
class Scored:
    """Score of a triple."""

    score: float | None
    """Score of the tail as an answer to (head, relation, ?); None if it is masked."""
    rank: int
    """Position of the tail among all entities as answers to (head, relation, ?), known answers included."""
    known_in: str | None
    """First split that contains the triple; None for a new one."""
    probability: float | None
    """Calibrated probability, by the embeddings only; None without a calibration."""


def query_text(graph: TripleSet, relation: str | None = None, head: str | None = None, tail: str | None = None) -> str:
    """The query in readable names, for instance "(head, relation, ?)". Raises as `predict` does."""
    refuse_other_parts(head, relation, tail)
    parts = [
        "?" if head is None else graph.entity_label(graph.entity_id(head)),
        "?" if relation is None else graph.relation_label(graph.relation_id(relation)),
        "?" if tail is None else graph.entity_label(graph.entity_id(tail)),
    ]
    return f"({', '.join(parts)})"


def predict(
    model: KGEModel | Predictor,
    graph: TripleSet,
    *,
    relation: str | None = None,
    head: str | None = None,
    tail: str | None = None,
    top: int = 10,
    exclude_known: bool = False,
    embeddings_only: bool = False,
    calibration: Calibration | None = None,
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
    embeddings_only
        Whether to rank and score without the mask of self-loops and the graph prior.
    calibration
        If given, answers have a probability. That of heads and tails assumes the base rate of such a list, see
        `mulde.kge.inference.base_rate`; that of relations assumes the base rate of the calibration set.

    Returns
    -------
    A list of answers that prints as a table. The score of a relation is the mean of the scores in both directions.
    Masked entities are not answers: the query entity, if the relation has no self-loop in train.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If not exactly two of head, relation and tail are given, the model was trained on another graph, or known
        answers cannot be left out because the graph has no triples.
    """
    text = query_text(graph, relation, head, tail)
    predictor, known = predictor_of(model, graph), Known(graph)
    if exclude_known:
        refuse_no_triples(known, graph)
    leave_out = known.answers if exclude_known else None
    among, internal = "", _array(0)
    if relation is None:
        ends = _array(graph.entity_id(head or "")), _array(graph.entity_id(tail or ""))
        best = predictor.best_relations(*ends, top, leave_out, embeddings_only)
        names: tuple[Sequence[str], Callable[[int], str]] = graph.relations, graph.relation_label
    else:
        entity, kind = graph.entity_id(head if head is not None else tail or ""), graph.relation_id(relation)
        internal = _array(internal_id(kind, head is None))
        best = predictor.best_tails(_array(entity), internal, top, leave_out, embeddings_only)
        if predictor.among is not None:
            count = len(predictor.among.of(int(internal[0])))
            among = f"among {count:,} of {graph.num_entities:,} entities: {predictor.among.about}"
        names = graph.entities, graph.entity_label
    kept = np.flatnonzero((best.ids[0] >= 0) & ~is_masked(best.scores[0]))
    ids, scores, ranks = (part[0, kept] for part in (best.ids, best.scores, best.ranks))
    given = (graph.entity_id, head), (graph.relation_id, relation), (graph.entity_id, tail)
    heads, kinds, tails = (ids if name is None else np.full(len(ids), find(name)) for find, name in given)
    odds = None
    if relation is not None and calibration is not None and (every := odds_of_candidates(graph)) is not None:
        odds = np.full(len(ids), every[internal[0]])
    splits = known.split(heads, kinds, tails)
    likely = probabilities(predictor, calibration, heads, kinds, tails, odds)
    rows = zip(ranks.tolist(), ids.tolist(), scores.tolist(), splits.tolist(), likely, strict=True)
    return Answers(
        (Answer(rank, names[0][i], names[1](i), value, _split(split), p) for rank, i, value, split, p in rows),
        text,
        prior=predictor.with_prior(embeddings_only),
        known=bool(known),
        among=among,
    )


def score(
    model: KGEModel | Predictor,
    graph: TripleSet,
    *,
    head: str,
    relation: str,
    tail: str,
    calibration: Calibration | None = None,
    embeddings_only: bool = False,
) -> Scored:
    """Score and rank of a triple's tail as an answer to (head, relation, ?), and its probability.

    Parameters and errors are those of `predict`.
    """
    predictor = predictor_of(model, graph)
    ids = _array(graph.entity_id(head)), _array(graph.relation_id(relation)), _array(graph.entity_id(tail))
    best = predictor.best_tails(ids[0], forward_id(ids[1]), graph.num_entities, None, embeddings_only)
    place = int(np.flatnonzero(best.ids[0] == ids[2])[0])
    value = float(best.scores[0, place])
    return Scored(
        None if is_masked(value) else value,
        place + 1,
        _split(int(Known(graph).split(*ids)[0])),
        probabilities(predictor, calibration, *ids)[0],
    )


def probabilities(
    predictor: Predictor,
    calibration: Calibration | None,
    heads: Ids,
    relations: Ids,
    tails: Ids,
    odds: NDArray[np.float64] | None = None,
) -> list[float | None]:
    """Probabilities of triples (b,), with relation ids of the graph; None without a calibration.

    ``odds`` (b,): of a triple before its score is known; None: those of the calibration set.
    """
    if calibration is None or not len(heads):
        return [None] * len(heads)
    scores: NDArray[Any] = predictor.embedding_scores(heads, relations, tails)
    return list(calibration.probabilities(relations, scores, odds).tolist())


def neighbours(
    model: KGEModel, graph: TripleSet, entity: str, *, top: int = 10, curvature: float | None = None
) -> Neighbours:
    """The entities nearest to one, by the distance of `mulde.kge.inference.top_k.nearest`.

    Returns a list that prints as a table. Raises as `predict` does for unknown names and another graph.
    """
    from mulde.kge.evaluation.link_prediction import refuse_other_graph
    from mulde.kge.inference.top_k import nearest

    refuse_other_graph(model, graph)
    curvature = typed(curvature, Positive | None, "`curvature`")
    number = graph.entity_id(entity)
    best = nearest(model, _array(number), top, curvature)
    found = zip(best.ids[0].tolist(), best.scores[0].tolist(), strict=True)
    rows = [
        Neighbour(rank, graph.entities[other], graph.entity_label(other), distance)
        for rank, (other, distance) in enumerate(found, 1)
    ]
    return Neighbours(rows, graph.entity_label(number))


def refuse_no_triples(known: Known, graph: TripleSet) -> None:
    """Raise UsageError if known answers cannot be left out."""
    if not known:
        raise UsageError(
            f"known answers cannot be left out: this bundle was made without the triples of {graph.name}; leave out "
            "--exclude-known, or export the model with its triples"
        )


def refuse_other_parts(head: str | None, relation: str | None, tail: str | None) -> None:
    """Raise UsageError unless two of the three are given."""
    if sum(part is None for part in (head, relation, tail)) != 1:
        raise UsageError("predict needs exactly two of head, relation and tail, and predicts the third one")


def _split(place: int) -> str | None:
    return SPLITS[place] if place >= 0 else None


def _array(number: int) -> Ids:
    return np.array([number])
