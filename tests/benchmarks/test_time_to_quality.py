"""What was measured is on record at once, with the seed and the threads that it was measured with."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
REPORT = {"data": "wn18rr", "realistic": {"mrr": 0.5, "hits@10": 0.6}, "checksum": "x"}
SAID = json.dumps({"fit": {"epochs": 4, "best_epoch": 3}, "test": REPORT})


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(tmp_path)
    return importlib.import_module("time_to_quality")


def call(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str, fail: bool = False) -> list[Any]:
    """Calls the benchmark with a `mulde` that trains nothing; with ``fail`` its second run is interrupted."""
    runs: list[Any] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        runs.append(command)
        Path(command[command.index("--out") + 1]).mkdir(parents=True)
        return SimpleNamespace(returncode=int(fail and len(runs) == 2), stdout=SAID)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["time_to_quality.py", *words])
    benchmark.main()
    return runs


def test_a_row_is_on_record_before_the_next_model_and_a_left_run_is_refused(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="ended with code 1"):
        call(benchmark, monkeypatch, fail=True)
    record = Path("results/time_to_quality.json")
    assert [row["model"] for row in json.loads(record.read_text())["rows"]] == ["RotH on WN18RR"]
    with pytest.raises(SystemExit) as refused:
        call(benchmark, monkeypatch)
    assert str(refused.value) == (
        "runs/time_to_quality/RotH-on-FB15k-237 exists, but results/time_to_quality.json has no row of it; remove the "
        "folder to measure RotH on FB15k-237 from nothing"
    )


def test_the_table_tells_seed_and_threads_of_every_row(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    call(benchmark, monkeypatch, "--only", "RotH on WN18RR", "--seed", "3", "--threads", "1")
    assert len(call(benchmark, monkeypatch)) == 1  # seed 0, two threads; what is on record is not measured again
    lines = Path("results/time_to_quality.md").read_text().splitlines()
    assert [line.split("|")[-3:-1] for line in lines[4:]] == [
        ["    3 ", "       1 "], ["    0 ", "       2 "]
    ]  # fmt: skip
