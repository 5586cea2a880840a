"""`mulde run --preset best`: a large teacher is queried once, and a Junior learns from its cached predictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

TINY = ["--epochs", "1", "--eval-every", "1", "--teacher-epochs", "1", "--teacher-dim", "8", "--dim", "4"]
BEST = ["run", "--data", "nations", "--preset", "best", *TINY, "--threads", "1"]


def test_from_end_to_end_and_again(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, shared = tmp_path / "run", tmp_path / "cache"
    output = command(*BEST, "--out", run, "--teacher-cache", shared)
    assert output.code == 0 and "teacher predictions for " in output.err and "MB: computed in" in output.err
    rows = json.loads((run / "summary.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["teacher complex", "baseline", "teacher ensemble", "Junior"]
    assert [row.get("dim") for row in rows] == [8, 4, None, 4]
    for row in rows:
        assert 0 < row["MRR"] <= 1
    about = json.loads((shared / "predictions.json").read_text())
    assert about["top_k"] == 200 and len(about["teachers"]) == 1
    config = json.loads((run / "junior/fit/config.json").read_text())["config"]
    assert config["method"] == "offline" and config["teachers"] == about["teachers"]

    monkeypatch.setattr(
        "mulde.kge.teachers.cached_predictions.cache_predictions", lambda *_: pytest.fail("queried again")
    )
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    output = command(*BEST, "--out", run, "--teacher-cache", shared)
    assert output.code == 0 and output.err.count("finished before and reused") == 3
    assert "MB: reused, saves" in output.err
    assert before == {path: path.read_bytes() for path in before}
    assert (
        command(*BEST, "--out", tmp_path / "other", "--teacher-cache", shared, "--no-baseline").code == 0
    )  # same teacher


def test_no_epochs_for_the_teachers_are_refused(command: Command, tmp_path: Path) -> None:
    output = command(*BEST, "--teacher-epochs", "0", "--out", tmp_path / "run")
    assert output.code == 2 and output.err.endswith("should be a whole number of at least 1 or empty, got 0\n")
