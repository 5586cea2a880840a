"""Candidates of a comparison, measured one after the other, each in a process of its own.

A benchmark lists its candidates and calls :func:`compare`. Each candidate returns one row of the table. Separate
processes have separate imports, allocator settings and peak memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]

KEEP_MEMORY = {  # glibc keeps freed memory; by default it returns large blocks, and their pages are faulted in again
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(1 << 26),
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A row of the table: its label, the function that measures it, and environment variables of its process."""

    label: str
    measure: Callable[[argparse.Namespace], Row]
    environment: Mapping[str, str] = field(default_factory=dict)


def compare(
    description: str,
    title: str,
    candidates: Callable[[argparse.Namespace], Sequence[Candidate]],
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    compared: str | None = None,
    data: Sequence[str] = ("wn18rr", "fb15k-237"),
) -> None:
    """Measure all candidates on all graphs; write the records and the table of ``<out>/<name of the module>/``.

    Parameters
    ----------
    description, title
        Help of the command, and title of the table.
    candidates
        Returns the candidates for the parsed options.
    options
        Adds options to the parser.
    compared
        A column whose values are also shown relative to the first candidate's.
    data
        Default graphs.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(data), help=f"graphs (default: {' '.join(data)})")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("results/speed"), help="folder (default: results/speed)")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # label of the candidate that this process measures
    options(parser)
    settings = parser.parse_args()
    if settings.only is not None:
        (chosen,) = (it for it in candidates(settings) if it.label == settings.only)
        from mulde.engine import process  # imports torch, which the measuring processes need only

        with process.threads(settings.threads):
            print(json.dumps(chosen.measure(settings)))
        return
    rows = []
    for graph in settings.data:
        group = [
            {"data": graph, "candidate": it.label, **_measured(it, graph, settings.threads)}
            for it in candidates(settings)
        ]
        rows += [row | relative(row, group[0], compared) for row in group]
    _write(settings, title, rows)


def _measured(candidate: Candidate, graph: str, threads: int) -> Row:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **candidate.environment}
    command = [*_this_command(), "--data", graph, "--only", candidate.label]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{candidate.label} on {graph} ended with {done.returncode}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(graph, candidate.label, row, file=sys.stderr, flush=True)
    return row


def relative(row: Row, first: Row, compared: str | None) -> Row:
    """The column that compares a row with the first one."""
    return {} if compared is None else {f"{compared}, relative": row[compared] / first[compared]}


def _this_command() -> list[str]:
    """The command line of this process."""
    return [sys.executable, "-m", f"benchmarks.speed.{Path(sys.argv[0]).stem}", *sys.argv[1:]]


def _write(settings: argparse.Namespace, title: str, rows: list[Row]) -> None:
    import kge_data
    from benchmarks.harness import records

    command = " ".join(["python", *_this_command()[1:]])
    found = {"seed": settings.seed, **records.environment(), "threads": settings.threads}
    graphs = {name: {"name": name, "checksum": kge_data.load(name).checksum} for name in settings.data}
    place = settings.out / Path(sys.argv[0]).stem
    records.write(place, [{**row, "data": graphs[row["data"]], "command": command, **found} for row in rows])
    records.write_table(place, title, rows)


class Peak:
    """Peak memory of the process above its memory at construction, which follows the imports."""

    def __init__(self) -> None:
        self.before = _status("VmRSS")

    def megabytes(self) -> float:
        """Peak so far above the memory at construction, in units of 10⁶ bytes."""
        return round((_status("VmHWM") - self.before) * 1024 / 1e6, 1)


def _status(name: str) -> int:
    with Path("/proc/self/status").open(encoding="utf-8") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith(name))


def median_ms(action: Callable[[], Any], seconds: float = 4.0, warm_up: int = 5, least: int = 5) -> float:
    """Median duration of an action in milliseconds, repeated for some seconds after a few unmeasured repetitions."""
    for _ in range(warm_up):
        action()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < least:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def endless(feed: Any) -> Iterator[Any]:
    """Batches of a feed, one epoch after another."""
    for epoch in itertools.count():
        feed.set_epoch(epoch)
        yield from feed


def pykeen_factory(graph: Any, count: int) -> Any:
    """About ``count`` evenly spaced training triples as a PyKEEN factory with inverse triples."""
    import torch
    from pykeen.triples import TriplesFactory

    return TriplesFactory(
        torch.from_numpy(graph.train)[:: max(1, len(graph.train) // count)],
        entity_to_id={name: number for number, name in enumerate(graph.entities)},
        relation_to_id={name: number for number, name in enumerate(graph.relations)},
        create_inverse_triples=True,
    )


def pykeen_batch_ms(loop: Any, factory: Any, batch: int, warm_up: int) -> float:
    """Median time between two batches of an epoch of PyKEEN's training loop in milliseconds."""
    from pykeen.training.callbacks import TrainingCallback

    moments: list[float] = []

    class Moments(TrainingCallback):
        def post_batch(self, epoch: int, batch: Any, **_: Any) -> None:
            moments.append(time.perf_counter())

    loop.train(triples_factory=factory, num_epochs=1, batch_size=batch, use_tqdm=False, callbacks=Moments)
    between = [after - before for before, after in itertools.pairwise(moments[warm_up:])]
    return 1000 * statistics.median(between)
