"""Worst failures: the queries with the worst ranks, with answers that no split contains."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.model.kge_model import KGEModel
from mulde.report.failures import worst_failures
from mulde.report.runs import Stage
from tests.kge import toys


def stage(model: KGEModel | None) -> Stage:
    return Stage("Junior", "junior", Path(), None, model=model)


def test_the_worst_ranks_come_first_with_unknown_answers() -> None:
    graph = toys.toy_graph()
    model = toys.model(graph)
    found = worst_failures(stage(model), graph)
    assert found is not None and "among 25 entities, as `mulde predict` answers them by Junior." in found.about
    ranks = [row["rank"] for row in found.rows]
    assert ranks == sorted(ranks, reverse=True) and ranks[0] == evaluate(model, graph, "test").ranks.ranks().max()
    assert len({row["query"] for row in found.rows}) == len(ranks) == 20
    known = {
        tuple(names)
        for split in (graph.train, graph.valid, graph.test)
        for names in np.stack(
            [np.array(graph.entities)[split[:, 0]], np.array(graph.relations)[split[:, 1]],
             np.array(graph.entities)[split[:, 2]]], axis=1,
        ).tolist()
    }  # fmt: skip
    for row in found.rows:
        head, relation, tail = re.fullmatch(r"\((\S+), (\S+), (\S+)\)", row["query"]).groups()  # type: ignore[union-attr]
        whole = [(name if head == "?" else head, relation, name if tail == "?" else tail)
                 for name in (row["true answer"], *row["first 3 answers"].split(", "))]  # fmt: skip
        if head == "?":
            whole = [(name, relation, tail) for name, _, _ in whole]
        assert whole[0] in known and not known & set(whole[1:]) and len(whole) == 4


def test_names_from_right_to_left_are_isolated() -> None:
    graph = replace(toys.toy_graph(), relation_text=dict.fromkeys(range(3), "عاصمة"))
    found = worst_failures(stage(toys.model(graph)), graph)
    assert found is not None and all("\u2068عاصمة\u2069" in row["query"] for row in found.rows)


def test_nothing_without_a_model_or_test_triples() -> None:
    graph = toys.toy_graph()
    assert worst_failures(stage(None), graph) is None and worst_failures(stage(toys.model(graph)), None) is None
    assert worst_failures(stage(toys.model(graph)), replace(graph, test=graph.test[:0])) is None
