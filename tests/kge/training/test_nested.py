"""Training at several sizes: the loss, the teachers' part, validation, resume, and what is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mulde.engine import as_setup
from mulde.errors import UsageError
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.methods import mulde, offline
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.nested import cropped
from mulde.kge.scorers.roth import RotH
from mulde.kge.storage.run_folder import describe, open_model
from mulde.kge.training import stage, supervised
from mulde.kge.training.fit import Progress
from mulde.kge.training.nested import Nested
from tests.kge import toys

GRAPH = toys.toy_graph()
TINY = {"dims": (2, 4), "epochs": 3, "eval_every": 1, "batch_size": 40, "negatives": 2, "checkpoint_every": 0.0}


def config(**changes: Any) -> supervised.Config:
    return toys.options(supervised.Config, **{**TINY, **changes})


def student(**changes: Any) -> KGEModel:
    model = config(dtype="float64", init_scale=0.4, **changes).model
    return KGEModel(RotH, GRAPH.num_entities, GRAPH.num_relations, model)


def test_the_loss_is_the_mean_over_the_sizes() -> None:
    model, batch = student(), toys.batch(GRAPH)
    terms = Nested(supervised.Supervised(model, config()), model).losses(batch, toys.BEGINNING)
    assert set(terms) == {"model/hard@2", "model/hard@4"}
    for dim in (2, 4):
        alone = supervised.Supervised(cropped(model, dim), config()).losses(batch, toys.BEGINNING)["model/hard"]
        assert terms[f"model/hard@{dim}"].item() == pytest.approx(alone.item() / 2, rel=1e-12)


def test_teachers_are_queried_once_per_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """All sizes have the candidates of the largest; each has a Senior of its own."""
    model, options = student(), toys.options(mulde.Config, **TINY, top_k=5, include_target=True)
    teachers = toys.ensemble(GRAPH, (RotH,))
    method = as_setup(mulde.build(options, GRAPH, {"student": model, "teacher": teachers})).method
    both, calls = Nested(method, model), []
    score = KGEModel.score

    def counted(self: KGEModel, *query: torch.Tensor) -> torch.Tensor:
        calls.extend([query] if self is teachers.teachers[0] else [])
        return score(self, *query)

    monkeypatch.setattr(KGEModel, "score", counted)
    terms = both.losses(toys.batch(GRAPH), toys.BEGINNING)
    assert len(calls) == 1
    assert set(terms) == {f"{name}@{dim}" for name in ("junior/hard", "junior/soft", "senior/hard") for dim in (2, 4)}
    learners = {name: list(parameters) for name, parameters in both.learners().items()}
    assert len(learners["senior"]) == 2 * len(list(method.senior.parameters()))
    assert {id(each) for each in learners["junior"]} == {id(each) for each in model.parameters()}
    assert ("junior/soft@2", "senior") in both.cross_terms
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert all(each.grad is not None and each.grad.any() for each in learners["senior"])


def test_a_run(tmp_path: Path) -> None:
    """Validation by the mean over the sizes; the folder tells the sizes, and each opens with its own graph prior."""
    outcome = stage.train("roth", GRAPH, config(epochs=2), tmp_path / "run", bar=False)
    line = json.loads((tmp_path / "run/fit/log.jsonl").read_text().splitlines()[-1])
    assert line["valid/mrr"] == pytest.approx((line["valid/mrr@2"] + line["valid/mrr@4"]) / 2)
    assert outcome.record.best_metrics["valid/mrr@2"] == pytest.approx(
        evaluate(cropped(outcome.model, 2), GRAPH, "valid", embeddings_only=True).metrics()["mrr"]
    )
    assert describe(tmp_path / "run")["model"]["dims"] == [2, 4]
    for dim in (2, 4):
        kept, own = open_model(tmp_path / "run", dim=dim), cropped(outcome.model, dim)
        assert kept.config.dim == dim and kept.state_dict().keys() == own.state_dict().keys()
        assert all(torch.equal(table, own.state_dict()[name]) for name, table in kept.state_dict().items())
    with pytest.raises(UsageError, match="trained at: 2 or 4; got 3"):
        open_model(tmp_path / "run", dim=3)
    with pytest.raises(UsageError, match="dims"):
        stage.train("roth", GRAPH, config(epochs=2, dims=(4,)), tmp_path / "run", bar=False)


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = stage.train("affineh", GRAPH, config(), None, bar=False).model

    def stop(progress: Progress) -> None:
        if progress.metrics:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stage.train("affineh", GRAPH, config(), tmp_path, bar=False, progress=stop)
    again = stage.train("affineh", GRAPH, config(), tmp_path, bar=False)
    assert not again.record.reused
    assert all(torch.equal(table, whole.state_dict()[name]) for name, table in again.model.state_dict().items())


def test_offline_distillation(tmp_path: Path) -> None:
    """A method with stages of its own, and a loss over all entities."""
    teacher = toys.model(GRAPH, dim=8)
    options = toys.options(offline.Config, **TINY, curvature="global", top_k=5, graph_prior=False)
    outcome = stage.distil("roth", [teacher], GRAPH, options, tmp_path, method="offline", bar=False)
    assert {"valid/mrr@2", "valid/mrr@4"} <= outcome.record.best_metrics.keys()
    assert outcome.model.config.dims == (2, 4)


def test_sparse_updates_are_refused() -> None:
    with pytest.raises(UsageError, match="sparse updates do not work with several dims"):
        stage.train("roth", GRAPH, config(sparse=True, optimizer="adagrad"), None)
