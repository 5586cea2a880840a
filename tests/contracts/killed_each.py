"""Runs several commands of `mulde`, each in a process that is killed (SIGKILL) at a step.

`killed_each` starts this module as a program, of which the processes are forks, so that packages are imported once.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mulde import cli
from tests.contracts.steps import at_each_step

ROOT = Path(__file__).resolve().parents[2]


def killed_each(jobs: Sequence[tuple[int, str, Sequence[str]]]) -> None:
    """Run commands until each is killed; for each the number of the step, the folder and the words."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.contracts.killed_each", json.dumps(jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert json.loads(process.stdout.splitlines()[-1]) == [-signal.SIGKILL] * len(jobs), process.stderr


def killed_at(last: int, folder: str, words: Sequence[str]) -> int:
    """Exit code of a command that is killed at a step, in a process of its own."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = itertools.count()

    def kill(_: str) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    os.chdir(folder)
    os.fsync = lambda descriptor: None  # the system stays, and a disk may take seconds
    with at_each_step(kill):
        os._exit(cli.main(words))


if __name__ == "__main__":
    import lightning_fabric  # noqa: F401  # seconds, before the forks

    import mulde.kge.training.stage
    import mulde.vision.distillation.job  # noqa: F401

    print(json.dumps([killed_at(*each) for each in json.loads(sys.argv[1])]))
