"""Answer sets: their coverage on exchangeable scores, their quantiles, and the file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mulde
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.coverage import (
    LEVELS,
    OTHERS,
    Coverage,
    fit_groups,
    level_of,
    open_coverage,
    quantile,
    save_coverage,
)  # fmt: skip
from mulde.kge.evaluation.coverage_fit import (
    another_prior,
    fit_coverage,
    halves,
    losses_and_ranks,
    new_triples,
    train_answers,
)  # fmt: skip
from mulde.kge.inference.answer_set import answer_set
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.storage.graph import graph_of


@pytest.fixture(scope="module")
def umls() -> TripleSet:
    return graph_of("umls-8")


@pytest.fixture(scope="module")
def model(umls: TripleSet) -> KGEModel:
    found: KGEModel = mulde.load("umls-8", umls)
    return found


@pytest.fixture(scope="module")
def fitted(model: KGEModel, umls: TripleSet) -> Coverage:
    found = fit_coverage(model, umls, 64 * "0")
    assert found is not None
    return found


def test_the_coverage_of_exchangeable_losses() -> None:
    """With 19 losses, a coverage of .9 is kept exactly; the next smaller or larger loss would give .85 or .95."""
    draw, repeats = np.random.default_rng(0), 4000
    inside = [each[19] <= quantile(each[:19], 0.9) for each in draw.exponential(size=(repeats, 20))]
    assert np.mean(inside) == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / repeats))


@pytest.mark.parametrize(
    ("count", "coverage", "place"),
    [(9, 0.9, 9), (8, 0.9, None), (0, 0.5, None), (1, 0.5, 1), (19, 0.95, 19), (99, 0.7, 70), (100, 0.7, 71)],
)
def test_the_quantile_of_few_losses(count: int, coverage: float, place: int | None) -> None:
    losses = np.random.default_rng(1).permutation(np.arange(1.0, count + 1))
    assert quantile(losses, coverage) == (math.inf if place is None else place)


def test_relations_with_few_triples_share_quantiles() -> None:
    relations, losses = np.repeat([0, 1, 2, 3, 4], [100, 20, 30, 10, 0]), np.arange(160.0)
    groups = fit_groups(relations, losses, np.arange(1, 161), own=np.array([0]))
    found = Coverage(groups, None, True, "")
    assert {name: group.triples for name, group in groups.items()} == {"0": 100, OTHERS[0]: 30, OTHERS[1]: 30}
    assert found.group_of(0)[0] == "0" and found.group_of(4)[0] == OTHERS[0] and found.group_of(3)[0] == OTHERS[1]
    assert found.quantiles(np.array([0, 2, 4, 1]), 0.5).tolist() == [50, 135, 135, 115]
    assert found.quantiles(np.array([0, 2]), 0.99).tolist() == [99, math.inf]
    assert groups["0"].top[:3] == (0.01, 0.03, 0.1)


def test_levels_are_rounded_up() -> None:
    assert [level_of(each) for each in (0.1, 0.9, 0.91)] == [0.5, 0.9, 0.95]
    with pytest.raises(UsageError, match=r"a coverage of at most 0.99, got 0.999"):
        level_of(0.999)


def test_halves_of_validation(model: KGEModel, umls: TripleSet, fitted: Coverage) -> None:
    """They are disjoint, the test split has no part in the fit, and the model keeps its own graph prior."""
    first, second = halves(new_triples(umls, "valid"))
    together = np.concatenate([first, second]).tolist()
    assert abs(len(first) - len(second)) <= 1 and sorted(together) == sorted(np.unique(umls.valid, axis=0).tolist())
    before = model.graph_prior
    others = TripleSet("umls", umls.train, umls.valid[::-1], umls.train[:9], umls.entities, umls.relations)
    assert fit_coverage(model, others, fitted.model) == fitted
    assert model.graph_prior is before and before is not None
    assert fitted.graph_prior is not None and fitted.graph_prior != tuple(before.weights.tolist())


def test_sets_hold_what_the_quantile_says(model: KGEModel, umls: TripleSet, fitted: Coverage) -> None:
    """A set by name has an answer exactly if its loss is at most the quantile, and no answer of train."""
    queries = with_reciprocals(new_triples(umls, "test")[::60])
    assert fitted.graph_prior is not None
    prior = GraphPrior(model.entity.new_tensor(fitted.graph_prior), umls.train)
    with another_prior(model, prior):
        losses, ranks = losses_and_ranks(model, queries, train_answers(umls))
    inside = losses <= fitted.quantiles(queries[:, 1], 0.8)
    assert 0 < inside.sum() < len(inside)
    for (given, internal, answer), wanted, rank in zip(queries.tolist(), inside, ranks, strict=True):
        part = {"tail" if internal % 2 else "head": umls.entities[given]}
        found = answer_set(model, umls, fitted, 0.75, relation=umls.relations[internal // 2], **part)
        names = [each.identifier for each in found]
        assert (umls.entities[answer] in names) == wanted and (not wanted or names[rank - 1] == umls.entities[answer])
        assert not any(each.known_in == "train" for each in found) and found.coverage == 0.8
        assert len(found) <= found.candidates <= umls.num_entities
    few = replace(fitted, groups={name: replace(each, quantiles=(None,) * 9) for name, each in fitted.groups.items()})
    found = answer_set(model, umls, few, 0.9, relation="causes", head="virus")
    assert len(found) == found.candidates and "too few triples" in repr(found)


def test_the_coverage_of_test(model: KGEModel, umls: TripleSet, fitted: Coverage) -> None:
    queries = with_reciprocals(new_triples(umls, "test"))
    assert fitted.graph_prior is not None
    with another_prior(model, GraphPrior(model.entity.new_tensor(fitted.graph_prior), umls.train)):
        losses, _ = losses_and_ranks(model, queries, train_answers(umls))
    for level in LEVELS:
        share = (losses <= fitted.quantiles(queries[:, 1], level)).mean()
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / 274)), level


def test_the_file(fitted: Coverage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 46
    assert open_coverage(tmp_path, fitted.model, count) is None
    save_coverage(tmp_path, fitted)
    assert open_coverage(tmp_path, fitted.model, count) == fitted
    with pytest.raises(UsageError, match="other weights"):
        open_coverage(tmp_path, 64 * "1", count)
    with pytest.raises(UsageError, match="expected quantiles of 1 relations"):
        open_coverage(tmp_path, fitted.model, 1)
    monkeypatch.setattr("mulde.kge.evaluation.coverage.FORMAT", "mulde coverage 9")
    save_coverage(tmp_path, fitted)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="expected format 'mulde coverage 1', found 'mulde coverage 9'"):
        open_coverage(tmp_path, fitted.model, count)
