"""Runs `mulde` and kills its process (SIGKILL) at a step: python -m tests.contracts.killed STEP WORD..."""

from __future__ import annotations

import itertools
import os
import signal
import sys

from mulde import cli
from tests.contracts.steps import at_each_step


def main() -> int:
    steps, last = itertools.count(), int(sys.argv[1])

    def kill(_: str) -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with at_each_step(kill):
        return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
