"""Several sizes in one model on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command

TRAIN = ["train", "rote", "--data", "nations", "--epochs", "1", "--negatives", "2", "--threads", "1", "--dims", "4,2"]


def test_sizes(tmp_path: Path, command: Command) -> None:
    """A size is evaluated, predicted with and packed; what belongs to the largest size is not replaced."""
    run, small = str(tmp_path / "run"), str(tmp_path / "small.zip")
    assert command(*TRAIN, "--out", run).code == 0
    kept = sorted(path.name for path in Path(run).iterdir())
    evaluated = command("evaluate", run, "--dim", "2", "--json")
    classified = command("evaluate", run, "--dim", "2", "--task", "classification")
    assert "rote, 2 dimensions" in classified.out and "those of the largest size" in classified.err
    predicted = command("predict", run, "--dim", "2", "--head", "usa", "--relation", "embassy", "--json")
    assert predicted.code == 0 and sorted(path.name for path in Path(run).iterdir()) == kept
    assert command("pack", run, "--dim", "2", "--out", small).code == 0
    packed = command("evaluate", small, "--json")
    assert json.loads(packed.out)["realistic"] == json.loads(evaluated.out)["realistic"]
    again = command("predict", small, "--head", "usa", "--relation", "embassy", "--json")
    assert json.loads(again.out) == json.loads(predicted.out)
    refused = command("evaluate", run, "--dim", "3")
    assert refused.code == 2 and "trained at: 2 or 4; got 3" in refused.err
