"""Figures of quality show the embeddings only, with intervals and nothing else as whiskers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mulde.report.quality import by_mrr, frontier, ranking
from mulde.report.runs import Run, Stage, best_teacher, foremost
from mulde.report.training import learning, losses


def stage(name: str, role: Any, mrr: float, prior: float = 0.5, megabytes: float = 4, valid: float = 0.5) -> Stage:
    only = {"mrr": mrr, "mrr_interval_95": [mrr - 0.03, mrr + 0.02]}
    test = {"realistic": {"mrr": prior}, "graph_prior": True, "embeddings_only": only}
    return Stage(name, role, Path(), test, record={"best_metrics": {"valid/mrr": valid}}, megabytes=megabytes)


def test_whiskers_are_intervals_of_the_embeddings() -> None:
    figure = frontier([stage("big", "teacher", 0.6, 0.99, 40), stage("small", "junior", 0.5, 0.95, 4)], None)
    assert figure is not None
    (drawings,) = figure.drawings
    assert drawings.count('class="interval') == 2 * 2 * 3 and 'class="join"' not in drawings
    assert "small: MRR 0.5000 (0.4700 to 0.5200)" in drawings and "0.95" not in drawings
    assert ("interval", "95 % interval of the MRR: bootstrap over test triples, without other seeds") in figure.keys
    assert "small has 83.3 % of its test MRR at 10 % of its size." in figure.found


def test_the_best_teacher_is_chosen_by_validation() -> None:
    stages = [stage("better on test", "teacher", 0.9, valid=0.4), stage("better on valid", "teacher", 0.3, valid=0.6)]
    assert (best_teacher(stages) or stages[0]).name == "better on valid"
    runs = [Run(it.name, Path(), [it], {}) for it in stages]
    assert foremost(runs) is runs[1]


def test_models_are_sorted() -> None:
    stages = [stage("b", "teacher", 0.4), Stage("none", "teacher", Path(), None), stage("a", "junior", 0.6)]
    assert [it.name for it in by_mrr(stages)] == ["a", "b", "none"]
    figure = ranking(stages)
    assert figure is not None and figure.drawings[0].index(">a<") < figure.drawings[0].index(">b<")
    assert ranking(stages[:2]) is None  # nothing to compare


@pytest.mark.parametrize(("last", "drawn"), [(0.503, 0), (0.6, 1)])
def test_flat_curves_are_not_drawn(last: float, drawn: int) -> None:
    junior = stage("Junior", "junior", 0.5)
    junior.log = [
        {"step": 10 * epoch, "epoch": epoch, "valid/mrr": mrr, "junior/hard": mrr, "junior/soft": 0.25}
        for epoch, mrr in ((1, 0.5), (2, last))
    ]
    figure = learning([junior])
    assert figure is not None and len(figure.drawings) == drawn and figure.rows
    assert ("Not drawn, because they change by less than 0.005: Junior." in figure.about) == (not drawn)
    terms = losses(Run("run", Path(), [junior], {}))
    assert (terms is not None) == bool(drawn)
    assert terms is None or (len(terms.drawings) == 1 and 'aria-label="junior/hard"' in terms.drawings[0])
