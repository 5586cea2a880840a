"""Rank counting by bounds: equal to the counts of a full comparison for every scorer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.kge.model import ranking
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.metrics.ranks import rank
from tests.contracts import scorer as contract
from tests.contracts.scorer import SCORERS

DISTINCT, QUERIES = 30, 60
QUERY_OF = torch.cat([torch.arange(0, DISTINCT, step) for step in (1, 2, 3, 6)])  # with one to four targets each
QUERY_OF = QUERY_OF[torch.randperm(QUERIES, generator=torch.Generator().manual_seed(0))]
HEADS, RELATIONS = QUERY_OF, contract.queries(DISTINCT)[1][QUERY_OF]
TARGETS = contract.queries(QUERIES, seed=1)[2]
TWICE = (QUERY_OF == 6).nonzero().squeeze(1)[:2]
TARGETS[TWICE[1]] = TARGETS[TWICE[0]]
"""One triple is queried twice."""
FIRST = torch.empty(DISTINCT, dtype=torch.int64).scatter_(0, QUERY_OF, TARGETS)  # one target of each query
ROWS = torch.arange(QUERIES).repeat_interleave(3)
KNOWN = (FIRST[QUERY_OF[ROWS]] + 7 * (torch.arange(3 * QUERIES) % 3)) % contract.ENTITIES  # that one and two others
PATHS = {"all scored": (0.0, 99), "all scored and sorted": (0.0, 1), "few scored": (1.0, 99)}


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several groups of entities also in small graphs, and several blocks."""
    monkeypatch.setattr(ranking, "WIDTH", 5)
    monkeypatch.setattr(ranking, "BLOCK", 7 * contract.ENTITIES)


@pytest.fixture(params=PATHS)
def path(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the ways to count; fails if another one is used."""
    few, several = PATHS[request.param]
    monkeypatch.setattr(ranking, "FEW", few)
    monkeypatch.setattr(ranking, "PAIRS", torch.inf if few else 0.0)
    monkeypatch.setattr(ranking, "SORTED", several)
    other = "_by_rows" if few else "_by_pairs"

    def unless_nothing(*given: Any) -> Any:
        assert not few and not len(given[0]), f"{other} was called"
        return counts(*given)

    counts = getattr(ranking, other)
    monkeypatch.setattr(ranking, other, unless_nothing)
    return str(request.param)


def left_out(rows: Tensor) -> tuple[Tensor, Tensor]:
    chosen = torch.isin(ROWS, rows)
    place = torch.full((QUERIES,), -1)
    place[rows] = torch.arange(len(rows))
    return place[ROWS[chosen]], KNOWN[chosen]


def counted(model: KGEModel) -> dict[str, Tensor]:
    """Counts (60,) of all queries."""
    found = {name: torch.full((QUERIES,), -1) for name in ("better", "tied", "all")}
    for part in model.count_better(HEADS, RELATIONS, TARGETS, left_out):
        assert part.finite
        for name, counts in found.items():
            counts[part.rows] = getattr(part, name)
    return found


def check(model: KGEModel) -> None:
    expected = rank(model.score_all(HEADS, RELATIONS), TARGETS, ROWS, KNOWN)
    found = counted(model)
    assert found["better"].tolist() == expected.better.tolist()
    assert found["tied"].tolist() == expected.tied.tolist()
    assert (found["all"] + 1).tolist() == expected.candidates.tolist()


@pytest.mark.parametrize("scorer", SCORERS)
def test_counts_are_those_of_a_full_comparison(scorer: type[Scorer], path: str) -> None:
    for config in (*contract.configurations(scorer), next(iter(contract.configurations(scorer, "float32")))):
        check(contract.model_of(scorer, config))


def test_any_number_of_threads_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "THREADED", 1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for config in contract.configurations(SCORERS[0]):
            check(contract.model_of(SCORERS[0], config))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_equal_scores_count_as_tied(path: str) -> None:
    model = contract.model_of(SCORERS[0], ModelConfig(dim=contract.DIMENSION))
    with torch.no_grad():
        for table in (model.entity, model.tail_bias):
            table[10:] = table[10].clone()
    check(model)
    assert counted(model)["tied"].max() > 20


@pytest.mark.parametrize("scorer", SCORERS)
def test_entities_with_equal_vectors_are_always_tied(scorer: type[Scorer], path: str) -> None:
    """A matrix product rounds equal columns differently; every score is that of the first such entity here."""
    entities, dtype = 134, ("float32", "float64")[SCORERS.index(scorer) % 2]
    model = KGEModel(scorer, entities, 1, ModelConfig(dim=32, init_scale=0.3, dtype=dtype), seed=0)
    first = torch.arange(entities) % (entities // 2)
    with torch.no_grad():
        model.entity.copy_(model.entity[first])
    heads, targets = torch.arange(entities), torch.arange(entities).roll(3)
    nothing = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    scores = model.score_all(heads, torch.zeros_like(heads))[:, first]
    expected = rank(scores, targets, *nothing)
    tied = torch.full((entities,), -1)
    for part in model.count_better(heads, torch.zeros_like(heads), targets, lambda _: nothing):
        tied[part.rows] = part.tied
    assert tied.tolist() == expected.tied.tolist() and (tied > 0).all()


@pytest.mark.parametrize("length", [0.0, 1e-6, 3.0, 40.0])
@pytest.mark.parametrize("limit", [None, 0.996, 0.2])
def test_at_the_centre_far_out_and_under_a_cap(length: float, limit: float | None) -> None:
    from mulde.kge.scorers.roth import RotH

    config = ModelConfig(dim=contract.DIMENSION, dtype="float64", artanh_limit=limit)
    model = contract.model_of(RotH, config, spread=length)
    check(model)


@pytest.mark.parametrize("most", [0.0, 0.2, 0.5])
def test_comparisons_with_many_targets_are_bounded(most: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of pairs that one query compares one by one is at most a fraction of the entities."""
    counts, pairs = ranking._by_pairs, []

    def seen(score: Tensor, column: Tensor, ends: Tensor, *others: Tensor) -> Any:
        passed = ends.diff(prepend=torch.zeros(1, dtype=ends.dtype))
        pairs.append((passed * others[-1].bincount(minlength=len(ends))).max().item())
        return counts(score, column, ends, *others)

    monkeypatch.setattr(ranking, "FEW", 1.0)
    monkeypatch.setattr(ranking, "PAIRS", most)
    monkeypatch.setattr(ranking, "_by_pairs", seen)
    check(contract.model_of(SCORERS[0], ModelConfig(dim=contract.DIMENSION)))
    assert max(pairs) <= most * contract.ENTITIES and (max(pairs) > 0) == (most > 0)


def test_bounds_are_needed_and_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than all pairs pass, and with bounds that are too tight the counts are wrong: the test can fail."""
    passing, reaching = [], ranking._Table.reaching

    def seen(*given: Any) -> Any:
        found = reaching(*given)
        passing.append(np.mean(found))
        return found

    monkeypatch.setattr(ranking, "FEW", 1.0)
    monkeypatch.setattr(ranking, "PAIRS", torch.inf)
    monkeypatch.setattr(ranking._Table, "reaching", seen)
    model = contract.model_of(SCORERS[0], ModelConfig(dim=contract.DIMENSION, dtype="float64"))
    check(model)
    assert 0 < np.mean(passing) < 0.8
    monkeypatch.setattr(ranking, "SLACK", -0.5)
    with pytest.raises(AssertionError):
        check(model)


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
@pytest.mark.parametrize("table", ["entity", "head_bias", "tail_bias"])
def test_values_that_are_not_finite_are_reported(table: str, spoil: float) -> None:
    model = contract.model_of(SCORERS[0], ModelConfig(dim=contract.DIMENSION))
    with torch.no_grad():
        getattr(model, table)[int(HEADS[0]), ...] = spoil
    parts = list(model.count_better(HEADS, RELATIONS, TARGETS, left_out))
    assert not all(part.finite for part in parts)
