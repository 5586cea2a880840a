"""Queries that teachers are queried for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from kge_data import from_triples
from mulde.errors import UsageError
from mulde.kge.teachers.query_choice import plausible_queries, sample


def test_a_sample_is_a_function_of_the_seed() -> None:
    assert sample(10, None, 0) is None and sample(10, 10, 0) is None
    first = sample(1000, 50, 0)
    assert first is not None and (first.diff() > 0).all() and len(first) == 50
    again, other = sample(1000, 50, 0), sample(1000, 50, 1)
    assert again is not None and other is not None and torch.equal(first, again) and not torch.equal(first, other)


def test_relations_fit_the_head() -> None:
    """People have parents and a birthplace, towns a country; no town is asked for its parents."""
    people = [f"p{i:02}" for i in range(40)]
    train = [(each, "born in", f"town{i % 4}") for i, each in enumerate(people)]
    train += [(each, "child of", people[i - 1]) for i, each in enumerate(people) if i % 2]
    train += [(f"town{i}", "in", "land") for i in range(3)]
    graph = from_triples(train, train[:1], train[:1])
    heads, relations = plausible_queries(graph, 20, seed=0)
    names = Counter(
        (graph.entities[h][0], graph.relations[r // 2], r % 2)
        for h, r in zip(heads.tolist(), relations.tolist(), strict=True)
    )
    assert len(set(zip(heads.tolist(), relations.tolist(), strict=True))) == 20
    assert set(names) <= {("p", "child of", 0), ("p", "child of", 1), ("t", "in", 0)} and names["p", "child of", 0] > 3
    same = plausible_queries(graph, 20, seed=0)
    assert torch.equal(heads, same[0]) and torch.equal(relations, same[1])
    assert not np.array_equal(heads, plausible_queries(graph, 20, seed=1)[0])
    with pytest.raises(UsageError, match=r"expected 500 queries outside the training triples of .*, found 41; ask for"):
        plausible_queries(graph, 500, seed=0)
