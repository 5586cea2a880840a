"""Answers are the ranking of `score_all`, with the right names and the right splits."""

from __future__ import annotations

import pytest
import torch

from kge_data import TripleSet, from_triples
from kge_data.errors import UnknownName
from mulde.errors import UsageError
from mulde.kge.inference.query import predict, query_text, score
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.diste import DistE

TRAIN = [("a", "knows", "b"), ("b", "knows", "c"), ("d", "likes", "a")]
VALID, TEST = [("a", "knows", "c")], [("d", "knows", "c")]


@pytest.fixture
def graph() -> TripleSet:
    plain = from_triples(TRAIN, VALID, TEST)
    text = {plain.entity_id("a"): "Anna", plain.entity_id("c"): "Carl"}
    return TripleSet("people", plain.train, plain.valid, plain.test, plain.entities, plain.relations, text)


@pytest.fixture
def model(graph: TripleSet) -> KGEModel:
    return KGEModel(DistE, graph.num_entities, graph.num_relations, ModelConfig(dim=2, init_scale=1.0), seed=3)


def test_tails(model: KGEModel, graph: TripleSet) -> None:
    answers = predict(model, graph, head="Anna", relation="knows")
    scores = model.score_all(torch.tensor([graph.entity_id("a")]), torch.tensor([2 * graph.relation_id("knows")]))[0]
    assert [answer.rank for answer in answers] == [1, 2, 3, 4]
    assert [answer.score for answer in answers] == sorted(scores.tolist(), reverse=True)
    for answer in answers:
        assert answer.score == scores[graph.entity_id(answer.identifier)].item()
    known = {answer.identifier: answer.known_in for answer in answers}
    assert known == {"a": None, "b": "train", "c": "valid", "d": None}
    assert {answer.identifier: answer.label for answer in answers} == {"a": "Anna", "b": "b", "c": "Carl", "d": "d"}


def test_heads_are_predicted_by_the_reciprocal_relation(model: KGEModel, graph: TripleSet) -> None:
    answers = predict(model, graph, tail="c", relation="knows")
    inverse = torch.tensor([2 * graph.relation_id("knows") + 1])
    scores = model.score_all(torch.tensor([graph.entity_id("c")]), inverse)[0]
    assert [graph.entity_id(answer.identifier) for answer in answers] == scores.argsort(descending=True).tolist()
    known = {answer.identifier: answer.known_in for answer in answers}
    assert known == {"a": "valid", "b": "train", "c": None, "d": "test"}


def test_new_answers_keep_their_rank(model: KGEModel, graph: TripleSet) -> None:
    every = predict(model, graph, head="a", relation="knows")
    new = predict(model, graph, head="a", relation="knows", exclude_known=True)
    assert new == [answer for answer in every if answer.known_in is None]
    assert predict(model, graph, head="a", relation="knows", exclude_known=True, top=1) == new[:1]


def test_a_triple_in_two_splits_is_known_from_train(graph: TripleSet, model: KGEModel) -> None:
    twice = TripleSet("x", graph.train, graph.train, graph.train, graph.entities, graph.relations)
    known = {answer.known_in for answer in predict(model, twice, head="a", relation="knows")}
    assert known == {None, "train"}


def test_the_query_text(graph: TripleSet) -> None:
    assert query_text(graph, "knows", head="a") == "(Anna, knows, ?)"
    assert query_text(graph, "knows", tail="carl") == "(?, knows, Carl)"


@pytest.mark.parametrize("query", [{}, {"head": "a", "tail": "b"}])
def test_one_end_is_given(query: dict[str, str], model: KGEModel, graph: TripleSet) -> None:
    with pytest.raises(UsageError, match="exactly two of head, relation and tail"):
        predict(model, graph, relation="knows", **query)  # type: ignore[arg-type]


def test_unknown_names(model: KGEModel, graph: TripleSet) -> None:
    with pytest.raises(UnknownName, match='no entity is called "Ana"; nearest: a'):
        predict(model, graph, head="Ana", relation="knows")


def test_a_masked_entity_is_not_an_answer(model: KGEModel, graph: TripleSet) -> None:
    """No training triple is a self-loop."""
    model.mask_self_loops(graph.train).eval()
    assert {answer.identifier for answer in predict(model, graph, head="a", relation="knows")} == {"b", "c", "d"}
    assert {answer.identifier for answer in predict(model, graph, tail="a", relation="likes")} == {"b", "c", "d"}
    found = score(model, graph, head="a", relation="knows", tail="a")
    assert (found.rank, found.score) == (4, None)
    only = score(model, graph, head="a", relation="knows", tail="a", embeddings_only=True)
    assert only.score is not None and -100 < only.score < 100
