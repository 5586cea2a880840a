"""Time, memory and disk before a training."""

from __future__ import annotations

from dataclasses import replace

import torch

import kge_data
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.teachers.cached_predictions import cached_predictions
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.training import supervised
from mulde.kge.training.estimate import Estimate, estimate, predictions_bytes
from mulde.kge.training.method_file import new_model, open_method
from mulde.kge.training.presets import configured


def test_it_grows_with_epochs_and_tables_and_draws_nothing() -> None:
    graph = kge_data.load("nations")
    known = known_answers(graph)
    config = configured(supervised.Config, dim=4, epochs=10)
    longer = replace(config, training=replace(config.training, epochs=1000))
    larger = replace(config, model=replace(config.model, dim=64))
    torch.manual_seed(5)
    short, long, wide = (estimate([("roth", own)], graph, known) for own in (config, longer, larger))
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert 0 < short.seconds < long.seconds
    assert short.disk == long.disk < wide.disk
    assert short.memory is not None and short.memory > 50e6
    assert estimate([("roth", config)] * 2, graph, known).disk > short.disk
    all_entities = replace(config, loss="1vsall", model=replace(config.model, curvature="global"))
    assert estimate([("roth", all_entities)], graph, known).seconds > 0


def test_cached_teacher_predictions_count() -> None:
    graph = kge_data.load("nations")
    config = configured(open_method("offline").Config, top_k=5)
    model = new_model("roth", config, graph)
    found = cached_predictions(Ensemble([model]), graph, config.top_k, None)
    assert predictions_bytes(config, graph) == found.about["bytes"]
    assert predictions_bytes(configured(open_method("mulde").Config), graph) == 0


def test_text() -> None:
    found = Estimate(7200.0, 1_230_000_000, 45_000_000)
    assert found.text(None) == "about 2.0 h for all epochs, less with early stopping, 1.2 GB of memory, 45 MB on disk"
    assert found.text(600) == "about 10 min by the budget, 1.2 GB of memory, 45 MB on disk"
    assert replace(found, memory=None).text(9000.0).count(",") == 2
