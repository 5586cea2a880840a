"""Time before the work begins: imports, help, and loading a graph.

    KGE_DATA_HOME=... python -m benchmarks.speed.startup

Each is the median of several fresh processes; imports are given above an empty interpreter.
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

TIMES = 7
LOAD = "import time, kge_data; t = time.perf_counter(); kge_data.load({!r}); print(time.perf_counter() - t)"


def process(*arguments: str) -> float:
    """Seconds that a fresh process takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def above(code: str, base: str) -> Row:
    """Median of the differences between two processes that follow each other."""
    return {"seconds": statistics.median(process("-c", code) - process("-c", base) for _ in range(TIMES))}


def load(settings: argparse.Namespace, warm: bool) -> Row:
    """Seconds of `kge_data.load` in a fresh process, from text or from the cache."""
    times = []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(TIMES + 1):
            folder = os.path.join(place, "kept" if warm else str(turn))  # noqa: PTH118
            done = subprocess.run(
                [sys.executable, "-c", LOAD.format(settings.data[0])],
                env={**os.environ, "KGE_DATA_CACHE": folder}, capture_output=True, text=True, check=True,
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
        Candidate(
            "mulde --help",
            lambda it: {"seconds": statistics.median(process("-m", "mulde", "--help") for _ in range(TIMES))},
        ),
        Candidate(
            "mulde distil --help",
            lambda it: {"seconds": statistics.median(process("-m", "mulde", "distil", "--help") for _ in range(TIMES))},
        ),
        Candidate("load, from text", lambda it: load(it, warm=False)),
        Candidate("load, from the cache", lambda it: load(it, warm=True)),
    ]


if __name__ == "__main__":
    compare(
        __doc__ or "", f"Time before the work begins; median of {TIMES} fresh processes", candidates, data=["fb15k-237"]
    )
