"""A test triple as an example of what a model answers."""

from __future__ import annotations

import numpy as np

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.split_ranks import SplitRanks
from mulde.kge.inference.results import Answer, Answers
from mulde.kge.inference.top_k import TorchPredictor
from mulde.kge.model.graph_terms import is_masked
from mulde.kge.model.kge_model import KGEModel


def example(graph: TripleSet, ranks: SplitRanks, seed: int = 0) -> tuple[str, str, str]:
    """The first test triple, in a seeded order, whose tail the model ranks first; or the best ranked one.

    Triples that are also in train are skipped, unless all are.

    Parameters
    ----------
    graph
        The data.
    ranks
        Test ranks of the model.
    seed
        Seed of the order.

    Returns
    -------
    tuple
        Identifiers of head, relation and tail.
    """
    ranks_of_tails = ranks.answers[: len(graph.test)]
    unseen = np.flatnonzero(~KnownAnswers(graph.train).contains(*graph.test.T))
    order = np.random.default_rng(seed).permutation(unseen if len(unseen) else np.arange(len(graph.test)))
    head, relation, tail = graph.test[order[np.argmin(ranks_of_tails[order])]]
    return graph.entities[head], graph.relations[relation], graph.entities[tail]


def answers(model: KGEModel, graph: TripleSet, query: tuple[str, str, str], top: int = 5) -> Answers:
    """The best answers to the query of a triple, as the evaluation ranks them: without the other known answers."""
    head, tail = graph.entity_id(query[0]), graph.entity_id(query[2])
    relation = graph.relation_id(query[1])
    others = np.concatenate([graph.train, graph.valid, graph.test])
    others = others[(others != [head, relation, tail]).any(1)]
    known = KnownAnswers(with_reciprocals(others))
    best = TorchPredictor(model).best_tails(np.array([head]), forward_id(np.array([relation])), top, known)
    kept = (best.ids[0] >= 0) & ~is_masked(best.scores[0])
    found = [
        Answer(place, graph.entities[i], graph.entity_label(i), score, "test" if i == tail else None)
        for place, (i, score) in enumerate(
            zip(best.ids[0, kept].tolist(), best.scores[0, kept].tolist(), strict=True), 1
        )
    ]
    return Answers(found, f"({graph.entity_label(head)}, {graph.relation_label(relation)}, ?)")
