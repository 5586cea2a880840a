"""ULTRA in batches against a slow restatement, and as a teacher."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from kge_data import TripleSet, from_triples
from kge_data.inverse import with_reciprocals
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.ultra import network as networks
from mulde.ultra import teacher as module
from mulde.ultra.teacher import UltraTeacher
from tests.ultra import restated
from tests.ultra.checkpoints import random_network

NETWORK = random_network()


def graph() -> TripleSet:
    """A chain of 30 entities, some short cuts, self-loops, and a part that is joined to nothing."""
    random = np.random.default_rng(0)
    train = [(f"e{i:02}", "next", f"e{i + 1:02}") for i in range(30)]
    train += [(f"e{i:02}", "near", f"e{min(i + int(random.integers(3)), 30):02}") for i in range(0, 30, 2)]
    train += [("e05", "near", f"e{i:02}") for i in (1, 9, 12)] + [("f1", "next", "f2"), ("f2", "self", "f2")]
    return from_triples(train, [("e03", "near", "e05")], [("e04", "near", "e07"), ("f1", "self", "f1")])


GRAPH = graph()
WEIGHTS = {name: each.double().numpy() for name, each in NETWORK.state_dict().items()}


def restatement(heads: torch.Tensor, relations: torch.Tensor, left_out: bool) -> torch.Tensor:
    sizes = GRAPH.num_entities, GRAPH.num_relations
    rows = [
        restated.scores(WEIGHTS, GRAPH.train.tolist(), *sizes, head, relation, left_out)
        for head, relation in zip(heads.tolist(), relations.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(rows))


@pytest.mark.parametrize("left_out", [False, True])
@pytest.mark.parametrize(("most", "together"), [(0.5, 1), (0.5, 4), (0.0, 3), (1.0, 2)])
def test_scores_restated(most: float, together: int, left_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one and in batches; with some nodes, and with all of them, computed in a layer."""
    monkeypatch.setattr(networks, "MOST", most)
    teacher = UltraTeacher(NETWORK, GRAPH, left_out)
    teacher.together = together
    queries = torch.from_numpy(np.unique(with_reciprocals(GRAPH.train)[:, :2], axis=0)[::5])
    heads, relations = queries[torch.randperm(len(queries), generator=torch.Generator().manual_seed(0))].T
    expected = restatement(heads, relations, left_out)
    for _ in range(2):  # the shared states are as before
        found = teacher.score_all(heads, relations)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    ids = torch.arange(3).repeat(len(heads), 1)
    assert torch.equal(teacher.score(heads, relations, ids), found[:, :3])
    assert torch.equal(teacher.score(heads, relations, ids[:, 1]), found[:, 1])


def test_known_answers_are_left_out() -> None:
    """A teacher's scores of a query are those on a graph that never had its triples."""
    head, relation = GRAPH.entity_id("e05"), 2 * GRAPH.relation_id("near")
    names = [[GRAPH.entities[h], GRAPH.relations[r], GRAPH.entities[t]] for h, r, t in GRAPH.train.tolist()]
    rest = from_triples([each for each in names if each[:2] != ["e05", "near"]], GRAPH_REST, GRAPH_REST)
    assert rest.entities == GRAPH.entities and rest.relations == GRAPH.relations
    query = torch.tensor([head]), torch.tensor([relation])
    with_edges, without = (UltraTeacher(NETWORK, GRAPH, each) for each in (False, True))
    without.relation_edges = UltraTeacher(NETWORK, rest, False).relation_edges
    expected = UltraTeacher(NETWORK, rest, False).score_all(*query)
    torch.testing.assert_close(without.score_all(*query), expected, rtol=1e-4, atol=1e-4)
    assert (with_edges.score_all(*query) - expected).abs().max() > 1e-3


GRAPH_REST = [("e00", "next", "e01")]


def test_equal_queries_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[Any] = []
    original = UltraTeacher._scores
    monkeypatch.setattr(UltraTeacher, "_scores", lambda *each: scored.append(each[1].tolist()) or original(*each))
    teacher = UltraTeacher(NETWORK, GRAPH, leave_out=False)
    heads, relations = torch.tensor([4, 2, 4, 1]), torch.tensor([1, 0, 1, 1])
    rows = torch.cat([rows for rows, _ in teacher.blocks(heads, relations)])
    assert sorted(rows.tolist()) == [0, 1, 2, 3] and scored == [[2], [1, 4]]
    found = evaluate(teacher, GRAPH, "train")
    assert 0 < found.metrics()["mrr"] <= 1


def test_an_interruption_restores_the_shared_states(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = UltraTeacher(NETWORK, GRAPH)
    query = torch.tensor([3]), torch.tensor([0])
    expected = teacher.score_all(*query)
    assert teacher._last is not None
    before = copy.deepcopy(teacher._last[1].others)
    monkeypatch.setattr(networks.functional, "layer_norm", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        teacher.score_all(*query)
    monkeypatch.undo()
    assert all(map(torch.equal, teacher._last[1].others, before))
    assert torch.equal(teacher.score_all(*query), expected)


def test_batches_are_small_on_large_graphs() -> None:
    assert UltraTeacher(NETWORK, GRAPH).together == module.QUERIES


def test_relations_and_entities_without_edges() -> None:
    """Only in the test triples; such a query reaches nothing but its own entity."""
    graph = from_triples([("a", "r", "b")], [("a", "r", "c")], [("c", "s", "a")])
    teacher = UltraTeacher(NETWORK, graph, leave_out=False)
    query = torch.tensor([graph.entity_id("c")]), torch.tensor([2 * graph.relation_id("s")])
    scores = teacher.score_all(*query)[0]
    assert scores[graph.entity_id("a")] == scores[graph.entity_id("b")] != scores[graph.entity_id("c")]
