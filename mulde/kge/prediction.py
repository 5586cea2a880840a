"""Answers to one query, with names, scores, and whether the graph already contains them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kge_data.tripleset import SPLITS, TripleSet
from mulde.errors import UsageError
from mulde.scorers.model import KGEModel


@dataclass(frozen=True)
class Answer:
    """One answer: place among all entities (from 1), identifier, readable name, score, split that contains it."""

    rank: int
    identifier: str
    label: str
    score: float
    known_in: str | None


def question(graph: TripleSet, relation: str, head: str | None = None, tail: str | None = None) -> str:
    """The query in readable names: "(head, relation, ?)" or "(?, relation, tail)". Raises as `predict` does."""
    asked = graph.entity_label(graph.entity_id(head if head is not None else tail or ""))
    label = graph.relation_label(graph.relation_id(relation))
    return f"({asked}, {label}, ?)" if head is not None else f"(?, {label}, {asked})"


def predict(
    model: KGEModel,
    graph: TripleSet,
    *,
    relation: str,
    head: str | None = None,
    tail: str | None = None,
    top: int = 10,
    new: bool = False,
) -> list[Answer]:
    """The ``top`` best tails of (head, relation, ?), or heads of (?, relation, tail); give either head or tail.

    Names may be identifiers or readable names. ``new`` leaves out what the graph contains.

    Raises
    ------
    kge_data.UnknownName, kge_data.AmbiguousName
        With the nearest names, or the candidates.
    UsageError
        If not exactly one of head and tail is given.
    """
    if (head is None) == (tail is None):
        raise UsageError("predict needs exactly one of head and tail; the other one is the question")
    entity = graph.entity_id(head if head is not None else tail or "")
    internal = 2 * graph.relation_id(relation) + (head is None)
    scores = model.score_all(torch.tensor([entity]), torch.tensor([internal]))[0]
    asked, answered = (0, 2) if tail is None else (2, 0)
    known: dict[int, str] = {}
    for split in reversed(SPLITS):
        triples = getattr(graph, split)
        fitting = triples[(triples[:, asked] == entity) & (triples[:, 1] == internal // 2)]
        known |= dict.fromkeys(fitting[:, answered].tolist(), split)
    answers: list[Answer] = []
    for place, candidate in enumerate(scores.argsort(descending=True, stable=True).tolist(), 1):
        if len(answers) == top:
            break
        if new and candidate in known:
            continue
        name, label = graph.entities[candidate], graph.entity_label(candidate)
        answers.append(Answer(place, name, label, scores[candidate].item(), known.get(candidate)))
    return answers
