"""Records of results: made from run folders, read by README and tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.harness import records
from mulde import cli
from mulde.kge.training import record

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["--data", "nations", "--dim", "4", "--epochs", "2", "--eval-every", "1", "--negatives", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder."""
    folder = tmp_path_factory.mktemp("runs") / "roth"
    assert cli.main(["train", "roth", *WORDS, "--out", str(folder)]) == 0
    return folder


def test_a_run_folder_becomes_one_record(run: Path) -> None:
    [found] = record.of_run(run)
    test = json.loads((run / "test.json").read_text())
    assert found["metrics"]["with_prior"]["mrr"] == test["realistic"]["mrr"]
    assert found["metrics"]["embeddings_only"]["mrr"] == test["embeddings_only"]["mrr"]
    assert found["curve"]["epoch"] == [1, 2] and len(found["curve"]["valid_mrr"]) == 2
    assert found["settings"]["dim"] == 4 and found["settings"]["eval_every"] == 1
    assert found["data"]["checksum"] == test["checksum"]
    assert {"stage", "seed", "date", "versions", "hardware", "threads", "seconds", "best_epoch"} <= found.keys()


def test_a_model_without_prior_has_no_metrics_with_prior() -> None:
    report = {name: {"mrr": 0.5} for name in ("realistic", "optimistic", "pessimistic", "embeddings_only")}
    found = record.metrics_of({**report, "mrr_interval_95": [0.4, 0.6]}, {"graph_prior": False})
    assert found.keys() == {"embeddings_only"} and found["embeddings_only"]["mrr"] == 0.5


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    log = [{"epoch": epoch, "seconds": epoch / 2, "valid/mrr": epoch / 1000} for epoch in range(1, 301)]
    found = record.curve(log)
    assert len(found["epoch"]) <= record.CURVE and found["epoch"][-1] == 300


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert records.read(tmp_path) == []
    records.append(tmp_path, {"run": "a", "metrics": {"embeddings_only": {"mrr": 1 / 3}}})
    records.append(tmp_path, {"run": "b"})
    records.append(tmp_path, {"run": "b"})  # the same again adds nothing
    assert [it["run"] for it in records.read(tmp_path)] == ["a", "b"]
    assert records.read(tmp_path)[0]["metrics"]["embeddings_only"]["mrr"] == 1 / 3


def test_results_hold_tables_pictures_and_records_only() -> None:
    files = [path for path in (ROOT / "results").rglob("*") if path.is_file()]
    assert len(files) <= 150
    assert {path.suffix for path in files} == {".md", ".png", ".jsonl"}


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob(records.FILE)), ids=lambda path: path.parent.name)
def test_every_record_says_what_made_it(path: Path) -> None:
    for it in records.read(path.parent):
        assert {"command", "date", "versions", "hardware", "threads"} <= it.keys()
    assert (path.parent / records.TABLE).exists()
