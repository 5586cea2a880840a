"""Every example runs to its end in a new process, as a reader would run it, and prints something."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
NAMES = [
    "distil_a_junior",
    "federated_round",
    "my_own_method",
    "my_own_scorer",
    "train_a_teacher",
    "two_peers",
    "use_in_pykeen",
]


def test_all_are_there() -> None:
    assert [path.stem for path in EXAMPLES] == NAMES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    if path.stem == "federated_round":
        pytest.importorskip("flwr", reason="flwr is not installed")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PYKEEN_HOME": str(tmp_path),
    }
    words = [str(tmp_path / "run")] if path.stem == "train_a_teacher" else []
    command = [sys.executable, str(path), *words]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) >= 2 or path.stem == "two_peers"
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_short_and_tells_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert f"python examples/{path.name}" in text
