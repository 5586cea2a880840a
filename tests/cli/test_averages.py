"""`mulde train` with additions on a graph; the kill tests of engine and images show that they resume exactly."""

from __future__ import annotations

import json
from pathlib import Path

from mulde import cli
from tests.cli.conftest import SMALL

ADDED = ["--average", "swa", "--average-begin", "0.3", "--cycle", "optimizer.weight_decay=0:0.1", "--accumulate", "2"]


def test_the_average_is_kept(tmp_path: Path) -> None:
    assert cli.main(["train", "roth", *SMALL, *ADDED, "--out", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out/fit/record.json").read_text())
    metrics = record["metrics"]
    assert metrics["valid/mrr"] != metrics["current/valid/mrr"], "the average is not the last weights"
    assert record["cost"]["backwards"] > record["steps"] and record["cost"]["samples"]
