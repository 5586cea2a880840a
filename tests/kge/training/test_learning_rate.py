"""The default learning rate: larger where a training has fewer updates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kge_data
import mulde
from mulde.kge.options import Training
from mulde.kge.training.optimizers import learning_rate

UMLS, WN18RR = 5_216, 86_835  # training triples


@pytest.mark.parametrize(
    ("training", "triples", "expected"),
    [
        (Training(epochs=100), UMLS, 0.6 / (2 * UMLS / 5) ** 0.5),
        (Training(epochs=25), UMLS, 0.02),
        (Training(epochs=100), WN18RR, 0.6 / (200 * WN18RR / 500) ** 0.5),
        (Training(epochs=100, optimizer="adagrad"), WN18RR, 6 / (200 * WN18RR / 500) ** 0.5),
        (Training(epochs=100, lr=0.3), WN18RR, 0.3),
    ],
)
def test_by_the_number_of_updates(training: Training, triples: int, expected: float) -> None:
    assert learning_rate(training, triples) == pytest.approx(expected)


def test_it_is_what_a_training_begins_with(tmp_path: Path) -> None:
    graph = kge_data.load("nations")
    mulde.train("diste", graph, dim=4, epochs=30, batch_size=100, eval_every=30, schedule="constant", folder=tmp_path)
    expected = learning_rate(Training(epochs=30, batch_size=100), len(graph.train))
    assert 0.001 < expected < 0.02
    assert json.loads((tmp_path / "fit/config.json").read_text())["config"]["lr"] == expected
    lines = (tmp_path / "fit/log.jsonl").read_text().splitlines()
    assert {json.loads(line)["lr/model"] for line in lines} == {expected}


@pytest.mark.parametrize(("lr", "grows"), [(None, True), (1e-3, False)])
def test_a_budget_that_ends_it_sooner_makes_it_larger(lr: float | None, grows: bool, tmp_path: Path) -> None:
    graph, some = kge_data.load("nations"), {} if lr is None else {"lr": lr}
    options = {
        "dim": 4,
        "epochs": 10_000,
        "batch_size": 100,
        "eval_every": 10_000,
        "schedule": "constant",
        "compile": "off",
    }
    mulde.train("diste", graph, **options, **some, budget="1s", folder=tmp_path)
    unlimited = learning_rate(Training(epochs=10_000, batch_size=100, lr=lr), len(graph.train))
    first, *_, last = (json.loads(line)["lr/model"] for line in (tmp_path / "fit/log.jsonl").read_text().splitlines())
    assert (last > 2 * unlimited) == grows and (first == last == unlimited) != grows
