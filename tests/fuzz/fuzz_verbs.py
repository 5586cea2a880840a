"""All commands that write, as processes: killed at random moments, and twice at once. Part of `make fuzz`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.verbs import WRITERS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forks")
@pytest.mark.parametrize("kind", sorted({writer.kind for writer in WRITERS.values()}))
def test_kills_and_two_at_once(
    kind: str, tmp_path: Path, seconds: float, record_property: Callable[[str, int], None]
) -> None:
    command = [sys.executable, "-m", "tests.fuzz.killed", kind, str(seconds), str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-5000:]
    for what, count in json.loads(run.stdout).items():
        record_property(what, count)
        print(f"{kind}: {count:,} {what}")
