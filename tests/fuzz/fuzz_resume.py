"""Trainings killed (SIGKILL) at random moments, until one finishes. Part of `make fuzz`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.test_resume import results

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forks")
def test_killed_at_random_moments(tmp_path: Path, record_property: Callable[[str, int], None]) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.fuzz.killed_often", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-5000:]
    kills = json.loads(run.stdout)
    assert kills.keys() == {"reactive", "additions"}
    for kind, number in kills.items():
        assert number >= 3, "too few kills to mean anything"
        assert results(tmp_path / kind / "cut") == results(tmp_path / kind / "whole")
    record_property("kills of trainings", sum(kills.values()))
