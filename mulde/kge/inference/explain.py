"""Why a model gives an answer: its score taken apart, rules that predict it, and the nearest training facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kge_data.inverse import internal_id
from kge_data.tripleset import SPLITS, TripleSet
from mulde.kge.evaluation.calibration import Calibration
from mulde.kge.inference.explanation import Direction, Explanation, Names, Near, Reason
from mulde.kge.inference.known import Known
from mulde.kge.inference.predictor import Predictor, predictor_of
from mulde.kge.inference.query import probabilities, query_text
from mulde.kge.inference.results import Answer
from mulde.kge.model.graph_terms import is_masked
from mulde.kge.rules.grounding import Fired, fired
from mulde.kge.rules.links import Links
from mulde.kge.rules.rule import Rules, Triple

if TYPE_CHECKING:
    from mulde.kge.model.kge_model import KGEModel


def explain(
    model: KGEModel,
    graph: TripleSet,
    rules: Rules,
    *,
    head: str,
    relation: str,
    tail: str,
    top: int = 5,
    calibration: Calibration | None = None,
) -> Explanation:
    """Why a model gives an answer.

    Parameters
    ----------
    model, graph
        A model and its graph.
    rules
        The rules of the graph.
    head, relation, tail
        The fact, by identifiers or readable names.
    top
        Number of rules, of similar heads and of similar tails.
    calibration
        If given, the fact has a probability.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If the model was trained on another graph.
    """
    fact = graph.entity_id(head), graph.relation_id(relation), graph.entity_id(tail)
    predictor, known, links = predictor_of(model, graph), Known(graph), Links(graph)
    ids = np.array([fact]).T
    found = [reason(graph, each) for each in fired(rules, links, fact, top)]
    split = int(known.split(*ids)[0])
    return Explanation(
        fact=_names(graph, fact),
        known_in=SPLITS[split] if split >= 0 else None,
        probability=probabilities(predictor, calibration, *ids)[0],
        directions=[_direction(predictor, graph, known, fact, backward) for backward in (False, True)],
        rules=found,
        similar_heads=list(_similar(model, graph, links, fact, top, backward=True)),
        similar_tails=list(_similar(model, graph, links, fact, top, backward=False)),
        remarks=list(_remarks(graph, fact, bool(found))),
        graph=graph,
    )


def first_reasons(
    graph: TripleSet,
    rules: Rules,
    answers: Sequence[Answer],
    *,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
) -> list[Reason | None]:
    """For each answer to a query the strongest rule that predicts it, with one path; None where there is none.

    Parameters
    ----------
    graph, rules
        A graph and its rules.
    answers
        The answers.
    head, relation, tail
        The query: two of the three.
    """
    links, found = Links(graph), list[Reason | None]()
    for answer in answers:
        names = [answer.identifier if name is None else name for name in (head, relation, tail)]
        fact = graph.entity_id(names[0]), graph.relation_id(names[1]), graph.entity_id(names[2])
        strongest = fired(rules, links, fact, top=1, paths=1)
        found.append(reason(graph, strongest[0]) if strongest else None)
    return found


def reason(graph: TripleSet, each: Fired) -> Reason:
    """A rule that predicts a fact, in names."""
    counts = each.rule.counts
    return Reason(
        each.rule.text(graph), counts.support, counts.pairs, counts.confidence, counts.pca_confidence,
        each.rule.sampled, [[_names(graph, fact) for fact in path] for path in each.paths],
    )  # fmt: skip


def _direction(predictor: Predictor, graph: TripleSet, known: Known, fact: Triple, backward: bool) -> Direction:
    """The score of the tail, or of the head, as an answer."""
    head, relation, tail = fact
    query, answer = (tail, head) if backward else (head, tail)
    internal = internal_id(relation, backward)
    ids = np.array([query]), np.array([internal]), np.array([answer])
    embeddings = predictor.embedding_scores(*np.array([fact]).T)[0, int(backward)]
    terms = predictor.terms
    prior = 0.0
    if terms.weights is not None and terms.index is not None:
        prior = float(terms.weights[internal] * terms.index.answers_another(*ids)[0])
    best = predictor.best_tails(ids[0], ids[1], graph.num_entities)
    place = int(np.flatnonzero(best.ids[0] == answer)[0])
    score, others = float(best.scores[0, place]), known.answers.answers(query, internal)
    names = graph.entities[query], graph.relations[relation]
    text = query_text(graph, names[1], tail=names[0]) if backward else query_text(graph, names[1], head=names[0])
    before = int(np.isin(best.ids[0, :place], others).sum())
    masked = bool(is_masked(score))
    return Direction(text, float(embeddings), prior, None if masked else score, place + 1, place + 1 - before)


def _similar(model: KGEModel, graph: TripleSet, links: Links, fact: Triple, top: int, backward: bool) -> Iterator[Near]:
    """Training facts with another head (backward) or tail, the nearest first."""
    from mulde.kge.inference.top_k import nearest

    head, relation, tail = fact
    own, query = (head, tail) if backward else (tail, head)
    others = links.known.answers(query, internal_id(relation, backward))
    best = nearest(model, np.array([own]), model.num_entities - 1)
    places = np.flatnonzero(np.isin(best.ids[0], others))[:top]
    for other, distance in zip(best.ids[0, places].tolist(), best.scores[0, places].tolist(), strict=True):
        similar = (other, relation, tail) if backward else (head, relation, other)
        yield Near(_names(graph, similar), distance)


def _remarks(graph: TripleSet, fact: Triple, has_rules: bool) -> Iterator[str]:
    head, relation, tail = fact
    for entity in dict.fromkeys([head, tail]):
        if not (graph.train[:, [0, 2]] == entity).any():
            yield f"{graph.entity_label(entity)} has no fact in train, so its embedding was not trained on any"
    if not (graph.train[:, 1] == relation).any():
        yield f"{graph.relation_label(relation)} has no fact in train, so its embedding was not trained on any"
    if head == tail:
        yield "no rules: they are about two different entities, and head and tail are the same"
    elif not has_rules:
        yield "no rule predicts it"


def _names(graph: TripleSet, fact: Triple) -> Names:
    head, relation, tail = fact
    return graph.entities[head], graph.relations[relation], graph.entities[tail]
