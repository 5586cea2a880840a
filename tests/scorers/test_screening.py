"""Counting competitors by bounds: the counts of a full comparison, for every scorer, whatever passes the bounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mulde.metrics.ranks import rank
from mulde.scorers import screening
from mulde.scorers.model import KGEModel, ModelConfig
from mulde.scorers.scorer import Scorer
from tests.contracts import scorer as laws
from tests.scorers.test_scorer_contract import SCORERS

QUERIES = 60
HEADS = torch.arange(QUERIES // 2).repeat(2)  # every question with two targets
RELATIONS = laws.queries(QUERIES // 2)[1].repeat(2)
TARGETS = laws.queries(QUERIES, seed=1)[2]
ROWS = torch.arange(QUERIES).repeat_interleave(3)
KNOWN = (TARGETS[ROWS % (QUERIES // 2)] + 7 * (torch.arange(3 * QUERIES) % 3)) % laws.ENTITIES
"""Three entities for each question, the first of its targets among them."""


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several groups of entities also in small graphs."""
    monkeypatch.setattr(screening, "WIDTH", 5)


def left_out(rows: Tensor) -> tuple[Tensor, Tensor]:
    chosen = torch.isin(ROWS, rows)
    place = torch.full((QUERIES,), -1)
    place[rows] = torch.arange(len(rows))
    return place[ROWS[chosen]], KNOWN[chosen]


def counted(model: KGEModel) -> dict[str, Tensor]:
    """Counts (60,) of all queries."""
    found = {name: torch.full((QUERIES,), -1) for name in ("better", "tied", "all")}
    for part in model.competitors(HEADS, RELATIONS, TARGETS, left_out):
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


@pytest.mark.parametrize("few", [0.0, 1.0], ids=["all scored", "few scored"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_counts_are_those_of_a_full_comparison(
    scorer: type[Scorer], few: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "FEW", few)
    monkeypatch.setattr(screening, "BLOCK", 7 * laws.ENTITIES)
    for config in laws.configurations(scorer):
        check(laws.model_of(scorer, config))


def test_any_number_of_threads_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "AT_ONCE", 1)
    monkeypatch.setattr(screening, "BLOCK", 7 * laws.ENTITIES)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        for config in laws.configurations(SCORERS[0]):
            check(laws.model_of(SCORERS[0], config))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("few", [0.0, 1.0], ids=["all scored", "few scored"])
def test_equal_scores_count_as_tied(few: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "FEW", few)
    model = laws.model_of(SCORERS[0], ModelConfig(dim=laws.DIMENSION))
    with torch.no_grad():
        for table in (model.entity, model.tail_bias):
            table[10:] = table[10].clone()
    check(model)
    assert counted(model)["tied"].max() > 20


@pytest.mark.parametrize("length", [0.0, 1e-6, 3.0, 40.0])
@pytest.mark.parametrize("limit", [None, 0.996, 0.2])
def test_at_the_centre_far_out_and_under_a_cap(length: float, limit: float | None) -> None:
    from mulde.scorers.roth import RotH

    config = ModelConfig(dim=laws.DIMENSION, dtype="float64", artanh_limit=limit)
    model = laws.model_of(RotH, config, spread=length)
    check(model)


def test_bounds_are_needed_and_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than all pairs pass, and with bounds that are too tight the counts are wrong: the test can fail."""
    model = laws.model_of(SCORERS[0], ModelConfig(dim=laws.DIMENSION, dtype="float64"))
    monkeypatch.setattr(screening, "FEW", 1.0)
    monkeypatch.setattr(screening, "SLACK", -0.5)
    with pytest.raises(AssertionError):
        check(model)


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
@pytest.mark.parametrize("table", ["entity", "head_bias", "tail_bias"])
def test_what_is_not_finite_is_told(table: str, spoil: float) -> None:
    model = laws.model_of(SCORERS[0], ModelConfig(dim=laws.DIMENSION))
    with torch.no_grad():
        getattr(model, table)[int(HEADS[0]), ...] = spoil
    parts = list(model.competitors(HEADS, RELATIONS, TARGETS, left_out))
    assert not all(part.finite for part in parts)
