"""Test queries that a model answers worst, with its answers."""

from __future__ import annotations

import numpy as np

from kge_data.inverse import is_reciprocal, user_relation, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.inference.top_k import TorchPredictor
from mulde.report.figure import Listing
from mulde.report.lettering import isolated
from mulde.report.runs import Stage

COUNT = 20  # queries
SAMPLE = 5000  # test triples that are ranked at most
ANSWERS = 3  # for each query


def worst_failures(stage: Stage, graph: TripleSet | None) -> Listing | None:
    """Queries of the test split whose true answer has the worst filtered rank, one answer for each query."""
    model = stage.model
    if model is None or graph is None or not len(graph.test):
        return None
    found = evaluate(model, graph, "test", sample=SAMPLE)
    ranks, triples = found.ranks.ranks(), with_reciprocals(found.triples)
    worst = np.argsort(-ranks, kind="stable")
    _, first = np.unique(triples[worst, :2], axis=0, return_index=True)
    worst = worst[np.sort(first)][:COUNT]
    worst = worst[ranks[worst] > 1]
    if not len(worst):
        return None
    heads, relations, answers = triples[worst].T
    best = TorchPredictor(model).best_tails(heads, relations, ANSWERS, known_answers(graph, triples[worst]))
    degree = np.bincount(graph.train[:, [0, 2]].ravel(), minlength=graph.num_entities)
    rows = [
        {
            "query": query(graph, int(head), int(relation)),
            "true answer": graph.entity_label(answer),
            "rank": int(np.ceil(rank)),
            "training triples of the true answer": int(degree[answer]),
            f"first {ANSWERS} answers": ", ".join(isolated(graph.entity_label(it)) for it in others if it >= 0),
        }
        for head, relation, answer, rank, others in zip(
            heads, relations, answers, ranks[worst], best.ids.tolist(), strict=True
        )
    ]
    part = "test queries" if found.sample is None else f"queries of {SAMPLE:,} test triples, a random sample,"
    prior = " with its graph prior" if found.with_prior else ""
    return Listing(
        "Worst failures",
        f"The {part} whose true answer has the worst rank among {graph.num_entities:,} entities, as `mulde predict` "
        f"answers them by {stage.name}{prior}. Other known answers are left out.",
        rows,
    )


def query(graph: TripleSet, entity: int, relation: int) -> str:
    """A query with an internal relation, in readable names."""
    name = isolated(graph.entity_label(entity))
    kind = isolated(graph.relation_label(user_relation(relation)))
    return f"(?, {kind}, {name})" if is_reciprocal(relation) else f"({name}, {kind}, ?)"
