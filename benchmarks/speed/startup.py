"""Time before a command begins to work: imports, help texts, and loading a graph.

    KGE_DATA_HOME=... python -m benchmarks.speed.startup

Each is the median of several new processes. Times of imports are differences to an interpreter without them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.harness.side_by_side import Candidate, Row, compare
from mulde import cli

TIMES = 7
LOAD = "import time, kge_data; t = time.perf_counter(); kge_data.load({!r}); print(time.perf_counter() - t)"


def process(*arguments: str) -> float:
    """Seconds that a new process takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def above(code: str, base: str) -> Row:
    """Median difference between two processes that run one after the other."""
    return {"seconds": statistics.median(process("-c", code) - process("-c", base) for _ in range(TIMES))}


def help_of(*verb: str) -> Row:
    """Median time of a help text."""
    return {"seconds": statistics.median(process("-m", "mulde", *verb, "--help") for _ in range(TIMES))}


def load(settings: argparse.Namespace, warm: bool) -> Row:
    """Seconds of `kge_data.load` in a new process, from text or from the cache."""
    times = []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(TIMES + 1):
            folder = os.path.join(place, "kept" if warm else str(turn))  # noqa: PTH118
            done = subprocess.run(
                [sys.executable, "-c", LOAD.format(settings.data[0])],
                env={**os.environ, "KGE_DATA_CACHE": folder}, stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            times.append(float(done.stdout))
    return {"seconds": statistics.median(times[1:])}


def candidates(settings: argparse.Namespace) -> list[Candidate]:
    return [
        Candidate("import torch", lambda it: above("import torch", "pass")),
        Candidate("import mulde, above import torch", lambda it: above("import torch, mulde", "import torch")),
        Candidate(
            "mulde.train and mulde.evaluate, above import torch",
            lambda it: above("import torch, mulde; mulde.train, mulde.evaluate", "import torch"),
        ),
        Candidate("import mulde", lambda it: above("import mulde", "pass")),
        Candidate("mulde --help", lambda it: help_of()),
        *(Candidate(f"mulde {verb} --help", lambda it, verb=verb: help_of(verb)) for verb in cli.verbs()),
        Candidate("load, from text", lambda it: load(it, warm=False)),
        Candidate("load, from the cache", lambda it: load(it, warm=True)),
    ]


if __name__ == "__main__":
    compare(
        __doc__ or "", f"Time before the work begins; median of {TIMES} new processes", candidates, data=["fb15k-237"]
    )
