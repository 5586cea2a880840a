"""A measured model is recorded at once, with its seed and threads; a run left by an interrupted call is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import records
from benchmarks.quality import time_to_quality as benchmark


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def call(monkeypatch: pytest.MonkeyPatch, *words: str, fail: bool = False) -> list[Any]:
    """Call the benchmark with a training that only writes a record; with ``fail`` the second one is interrupted."""
    runs: list[Any] = []

    def train(command: list[str], run: Path, results: Path, name: str) -> None:
        runs.append(command)
        run.mkdir(parents=True)
        if fail and len(runs) == 2:
            sys.exit("ended with code 1")
        seed, threads = (int(command[command.index(option) + 1]) for option in ("--seed", "--threads"))
        metrics = {"embeddings_only": {"mrr": 0.5}, "with_prior": {"mrr": 0.6, "hits@10": 0.7}}
        row = {"run": name, "data": {"name": "wn18rr"}, "metrics": metrics, "epochs": 4, "best_epoch": 3}
        records.append(results, {**row, "seed": seed, "threads": threads})

    monkeypatch.setattr(benchmark, "train", train)
    monkeypatch.setattr(sys, "argv", ["time_to_quality.py", *words])
    benchmark.main()
    return runs


def test_a_model_is_recorded_before_the_next_one_and_a_left_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="ended with code 1"):
        call(monkeypatch, fail=True)
    assert [it["run"] for it in records.read(Path("results/time_to_quality"))] == ["RotH on WN18RR"]
    with pytest.raises(SystemExit) as refused:
        call(monkeypatch)
    assert str(refused.value) == (
        "runs/time_to_quality/RotH-on-FB15k-237 exists, but results/time_to_quality has no record of it; remove it to "
        "measure RotH on FB15k-237 from the start"
    )


def test_the_table_has_seed_and_threads_of_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    call(monkeypatch, "--only", "RotH on WN18RR", "--seed", "3", "--threads", "1")
    assert len(call(monkeypatch)) == 1  # seed 0, two threads; a recorded model is not measured again
    lines = Path("results/time_to_quality/table.md").read_text().splitlines()
    assert [line.split("|")[-3:-1] for line in lines[4:]] == [
        ["    3 ", "       1 "], ["    0 ", "       2 "]
    ]  # fmt: skip
