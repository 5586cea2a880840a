"""Explanations: scores taken apart, ranks in both directions, rules, the nearest training facts, remarks."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mulde
from kge_data import UnknownName
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.inference.explain import explain, first_reasons
from mulde.kge.inference.explanation import Explanation
from mulde.kge.inference.query import neighbours, predict, score
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.rules.mining import mine
from mulde.kge.rules.rule import Rules
from tests.kge.toys import model as toy_model
from tests.kge.toys import toy_graph


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    """Labelled; e13 has no fact in train, and r1 no self-loop."""
    toy = toy_graph(entities=14)
    loops = (toy.train[:, 0] == toy.train[:, 2]) & (toy.train[:, 1] == 1)
    train = toy.train[(toy.train[:, [0, 2]] != 13).all(1) & ~loops]
    return TripleSet("toy", train, toy.valid, toy.test, toy.entities, toy.relations, {0: "Zero"}, {0: "is near"})


@pytest.fixture(scope="module")
def model(graph: TripleSet) -> KGEModel:
    made = toy_model(graph).mask_self_loops(graph.train)
    prior = GraphPrior(made.entity.new_tensor([0.5, -0.25, 1.0, 2.0, -1.0, 0.75]), graph.train)
    return made.set_graph_prior(prior)


@pytest.fixture(scope="module")
def rules(graph: TripleSet) -> Rules:
    return mine(graph, seconds=0)


def explained(model: KGEModel, graph: TripleSet, rules: Rules, fact: list[int]) -> Explanation:
    head, relation, tail = graph.entities[fact[0]], graph.relations[fact[1]], graph.entities[fact[2]]
    return explain(model, graph, rules, head=head, relation=relation, tail=tail, top=3)


def test_scores_and_ranks_are_those_of_predict_and_evaluate(model: KGEModel, graph: TripleSet, rules: Rules) -> None:
    ranks = evaluate(model, graph, "test").ranks.ranks().reshape(2, -1)
    for place, fact in enumerate(graph.test[:8].tolist()):
        found = explained(model, graph, rules, fact)
        known = score(model, graph, head=found.fact[0], relation=found.fact[1], tail=found.fact[2])
        tail, head = found.directions
        assert (tail.score, tail.rank, found.known_in) == (known.score, known.rank, known.known_in)
        for each in found.directions:
            if each.score is not None:
                assert each.embeddings + each.graph_prior == pytest.approx(each.score, abs=1e-9)
        assert [tail.filtered_rank, head.filtered_rank] == ranks[:, place].tolist()
        heads = predict(model, graph, relation=found.fact[1], tail=found.fact[2], top=14)
        [answer] = [each for each in heads if each.identifier == found.fact[0]] or [None]
        assert answer is None or (head.rank, head.score) == (answer.rank, answer.score)


def test_the_named_facts_are_in_train_and_not_the_fact(model: KGEModel, graph: TripleSet, rules: Rules) -> None:
    train = {(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in graph.train.tolist()}
    for fact in graph.train[:10].tolist():
        found = explained(model, graph, rules, fact)
        assert found.known_in == "train" and set(found.facts()) <= train - {found.fact}
        head, relation, tail = found.fact
        near = [each.identifier for each in neighbours(model, graph, head, top=13)]
        expected = [(other, relation, tail) for other in near if (other, relation, tail) in train and other != tail]
        assert [each.fact for each in found.similar_heads] == expected[:3]
        assert all(each.fact[:2] == (head, relation) and each.fact in train for each in found.similar_tails)


def test_json_and_text(model: KGEModel, graph: TripleSet, rules: Rules) -> None:
    every = [explained(model, graph, rules, fact) for fact in graph.test.tolist()]
    found = max(every, key=lambda each: len(each.rules))
    values = json.loads(json.dumps(found.as_dict()))
    assert "graph" not in values and len(values["rules"]) == 3
    first = values["rules"][0]
    assert first["confidence"] == first["support"] / first["pairs"] <= first["pca_confidence"]
    assert all(len(step) == 3 for path in first["paths"] for step in path)
    text = found.text()
    assert f"confidence {first['confidence']:.3f} ({first['support']} of {first['pairs']} pairs)" in text
    assert "is near" in "".join(each.text() for each in every) and "rank without known answers" in text
    assert first["rule"].split("(")[0] in found._repr_html_()


def test_what_has_no_rule_is_said(model: KGEModel, graph: TripleSet, rules: Rules) -> None:
    loop = explained(model, graph, rules, [0, 1, 0])
    assert loop.rules == [] and loop.directions[0].score is None and "head and tail are the same" in loop.text()
    assert "masked" in loop.text()
    alone = explained(model, graph, rules, [13, 0, 2])
    assert "e13 has no fact in train" in alone.remarks[0] and alone.similar_tails == []
    with pytest.raises(UnknownName, match="nearest: e13"):
        explain(model, graph, rules, head="e1", relation="r0", tail="e02")


def test_the_first_reason_of_each_answer(model: KGEModel, graph: TripleSet, rules: Rules) -> None:
    answers = predict(model, graph, head="e03", relation="r1")
    found = first_reasons(graph, rules, answers, head="e03", relation="r1")
    for answer, reason in zip(answers, found, strict=True):
        whole = explain(model, graph, rules, head="e03", relation="r1", tail=answer.identifier)
        assert (reason is None) == (whole.rules == [])
        assert reason is None or (reason.rule == whole.rules[0].rule and len(reason.paths) == 1)
    assert any(found) and len(found) == 10


def test_from_python(model: KGEModel, graph: TripleSet, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path))
    found = mulde.explain(model, graph, head="Zero", relation="is near", tail="e02", top=2, rule_seconds=1e-9)
    assert found.fact == ("e00", "r0", "e02") and len(found.rules) <= 2
    bare = TripleSet("bare", *(np.empty((0, 3), dtype=np.int64),) * 3, graph.entities, graph.relations)
    with pytest.raises(UsageError, match="explain needs them"):
        mulde.explain(model, bare, head="e00", relation="r0", tail="e02")
