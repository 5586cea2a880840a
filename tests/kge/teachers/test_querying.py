"""Queries to the teachers: all entities as candidates, and scores that are computed once."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from mulde.kge.teachers.querying import Querying
from tests.kge import toys

GRAPH = toys.toy_graph()
EVERYTHING = Querying(top_k=GRAPH.num_entities)


def test_all_entities_are_scored_as_chosen_ones() -> None:
    junior, ensemble, batch = toys.model(GRAPH), toys.ensemble(GRAPH), toys.batch(GRAPH)
    ids, own, scores = EVERYTHING.scored(junior, ensemble, batch)
    assert torch.equal(ids, torch.arange(GRAPH.num_entities).expand(len(batch.heads), -1))
    chosen = junior.score(batch.heads, batch.relations, ids)
    assert_close(own, chosen)
    assert_close(scores, ensemble.score(batch.heads, batch.relations, ids))
    weights = torch.rand_like(own)
    for found, expected in zip(*(
        torch.autograd.grad((weights * each).sum(), list(junior.parameters()), allow_unused=True)
        for each in (own, chosen)
    ), strict=True):  # fmt: skip
        assert (found is None) == (expected is None)
        if found is not None:
            assert_close(found, expected)


def test_scores_of_training_queries_are_computed_once() -> None:
    junior, ensemble, feed = toys.model(GRAPH), toys.ensemble(GRAPH), toys.feed(GRAPH)
    heads, relations, _ = feed.queries(torch.arange(feed.count))
    expected = ensemble.score_all(heads, relations)
    EVERYTHING.prepare(junior, ensemble, feed)
    for teacher in ensemble.teachers:
        teacher.score_all = None  # would fail if it were called
    assert_close(ensemble.score_all(heads, relations), expected)


def test_other_queries_are_computed() -> None:
    ensemble = toys.ensemble(GRAPH)
    heads, relations = torch.tensor([0, 1]), torch.tensor([0, 3])
    expected = ensemble.score_all(heads, relations)
    ensemble.remember(heads[:1], relations[:1], limit=10**6)
    assert_close(ensemble.score_all(heads, relations), expected)


def test_a_limit_on_what_is_kept() -> None:
    ensemble, query = toys.ensemble(GRAPH), (torch.tensor([0]), torch.tensor([0]))
    for limit, kept in ((len(ensemble) * GRAPH.num_entities - 1, 0), (len(ensemble) * GRAPH.num_entities, 1)):
        ensemble.remember(*query, limit)
        assert len(ensemble._keys) == kept
