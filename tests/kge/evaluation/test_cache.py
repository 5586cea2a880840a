"""Reports: embeddings only beside the graph prior, always in the same form, computed once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from kge_data.tripleset import TripleSet
from mulde.kge.evaluation import cache
from mulde.kge.evaluation.cache import cached_ranks, cached_report, full_report
from mulde.kge.evaluation.link_prediction import LinkPrediction, evaluate
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.teachers.ensemble import Ensemble
from mulde.report.tables import metrics_rows
from tests.kge import toys


@pytest.fixture
def graph() -> TripleSet:
    return toys.toy_graph()


def with_prior(graph: TripleSet) -> KGEModel:
    model = toys.model(graph)
    return model.set_graph_prior(GraphPrior(torch.linspace(-3, 3, 6, dtype=torch.float64), graph.train))


def test_embeddings_only_beside_the_prior(graph: TripleSet) -> None:
    model = with_prior(graph)
    report = full_report(model, graph, "test")
    only = evaluate(model, graph, "test", embeddings_only=True)
    assert report["graph_prior"] and report["realistic"] == evaluate(model, graph, "test").metrics()
    assert only.metrics().items() <= report["embeddings_only"].items()
    assert report["embeddings_only"]["optimistic"] == only.metrics("optimistic")
    assert report["embeddings_only"]["by_relation"] == only.by_relation()
    [row, *_] = metrics_rows(report)
    assert (row["MRR"], row["MRR with graph prior"]) == (only.metrics()["mrr"], report["realistic"]["mrr"])
    assert json.loads(json.dumps(report)) == report


def test_without_a_prior_both_are_equal(graph: TripleSet) -> None:
    for ranker in (toys.model(graph), Ensemble([toys.model(graph)])):
        report = full_report(ranker, graph, "test")
        assert not report["graph_prior"]
        assert report["realistic"].items() <= report["embeddings_only"].items()
        assert "MRR with graph prior" not in metrics_rows(report)[0]


def test_a_report_is_computed_once(graph: TripleSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = with_prior(graph), []

    def counted(ranker: Any, *arguments: Any, embeddings_only: bool = False, **options: Any) -> LinkPrediction:
        if not embeddings_only:
            calls.append(arguments)
        return evaluate(ranker, *arguments, embeddings_only=embeddings_only, **options)

    monkeypatch.setattr(cache, "evaluate", counted)
    first = cached_report(model, graph, tmp_path / "run", "test")
    assert cached_report(model, graph, tmp_path / "run", "test") == first and len(calls) == 1
    with torch.no_grad():
        model.entity += 1
    assert cached_report(model, graph, tmp_path / "run", "test") != first and len(calls) == 2
    (tmp_path / "run/test.json").write_text("{")
    with pytest.warns(UserWarning, match=r"test\.json: expected JSON.*; the evaluation is computed again"):
        report = cached_report(model, graph, tmp_path / "run", "test")
    assert len(calls) == 3
    ranks = cached_ranks(tmp_path / "run", report)
    assert ranks.reciprocal.mean() == pytest.approx(report["embeddings_only"]["mrr"], abs=1e-6)
    assert (1 / ranks.answers).mean() == pytest.approx(report["realistic"]["mrr"], abs=1e-6)
    (tmp_path / "run/test.ranks.npz").write_bytes(b"damaged")
    assert cached_report(model, graph, tmp_path / "run", "test") == report and len(calls) == 4
