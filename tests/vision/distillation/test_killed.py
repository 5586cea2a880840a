"""`mulde distil` on pictures, killed in the middle (SIGKILL): the same command gives the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mulde import cli
from tests.contracts.steps import at_each_step
from tests.contracts.verbs import contents, without_leftovers
from tests.vision.distillation.tiny import words

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("kd", "file out/fit/checkpoint.pt"),
        ("simclrv2", "file out/pretraining/checkpoint.pt"),
        ("fedntd", "file out/rounds/checkpoint.pt"),
    ],
)
def test_a_kill(name: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the second checkpoint of a stage, which is in the middle of an epoch, or after a round."""
    steps: list[str] = []
    command = [*words(name, batch_size=12, checkpoint_every=0), "--out", "out"]
    for place in ("whole", "cut"):
        (tmp_path / place).mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    with at_each_step(steps.append):
        assert cli.main(command) == 0
    number = [i for i, each in enumerate(steps) if each == step][1] + 1
    killed = [sys.executable, "-m", "tests.contracts.killed", str(number), *command]
    monkeypatch.chdir(tmp_path / "cut")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(killed, env=environment, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (tmp_path / "cut" / step.removeprefix("file ")).exists()
    assert not (tmp_path / "cut/out/summary.json").exists()
    assert cli.main(command) == 0
    assert without_leftovers(contents(tmp_path / "cut")) == contents(tmp_path / "whole")
