"""Runs several commands of `mulde`, each in a process that is killed (SIGKILL) at a step.

    python -m tests.contracts.killed_each '[[STEP, FOLDER, [WORD, ...]], ...]'

The processes are forks of this one, so that torch is imported once. Prints the exit codes, negative for signals.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Sequence

import torch  # noqa: F401  # before the forks

import mulde.vision.distillation.job  # noqa: F401
from mulde import cli
from tests.contracts.steps import at_each_step


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
    print(json.dumps([killed_at(*each) for each in json.loads(sys.argv[1])]))
