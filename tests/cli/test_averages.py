"""`mulde distil --average swa` on a graph: the average is kept, and a killed run continues to the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from mulde import cli
from tests.cli.conftest import SMALL
from tests.contracts.steps import at_each_step
from tests.contracts.verbs import contents, without_leftovers

ROOT = Path(__file__).resolve().parents[2]
ADDED = [
    "--average",
    "swa",
    "--average-begin",
    "0.3",
    "--cycle",
    "optimizer.weight_decay=0:0.1",
    "--checkpoint-every",
    "0",
]
DISTIL = ["distil", "--junior", "roth", "--teacher", "teacher", "--method", "average", *SMALL, *ADDED, "--out", "out"]
STEP = "file out/fit/checkpoint.pt"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill(tmp_path: Path) -> None:
    whole, cut, steps = tmp_path / "whole", tmp_path / "cut", list[str]()
    whole.mkdir()
    with chdir(whole):
        assert cli.main(["train", "roth", *SMALL, "--out", "teacher"]) == 0
        shutil.copytree(whole, cut)
        with at_each_step(steps.append):
            assert cli.main(DISTIL) == 0
    saved = [number for number, step in enumerate(steps) if step == STEP]
    job = [saved[3 * len(saved) // 4] + 1, str(cut), DISTIL]
    process = subprocess.run(
        [sys.executable, "-m", "tests.contracts.killed_each", json.dumps([job])],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert json.loads(process.stdout.splitlines()[-1]) == [-signal.SIGKILL], process.stderr
    assert (cut / STEP.removeprefix("file ")).exists() and not (cut / "out/summary.json").exists()
    with chdir(cut):
        assert cli.main(DISTIL) == 0
    assert without_leftovers(contents(cut)) == contents(whole)
    metrics = json.loads((whole / "out/fit/record.json").read_text())["metrics"]
    assert metrics["valid/mrr"] != metrics["current/valid/mrr"], "the average is not the last weights"
