"""Contestants of a benchmark, each alone in a process of its own, one after the other; and the record of the outcome.

A benchmark file lists its contestants and calls :func:`compete`. Each contestant answers with one row of the table. A
process of its own means: its own imports, its own allocator settings, and a peak memory that no other has touched.
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

KEEP_MEMORY = {  # glibc keeps what is freed; by default it gives large blocks back, and their pages are faulted in anew
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(1 << 26),
}  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """What stands in the table's first column, what measures it, and the variables its process is started with."""

    label: str
    measure: Callable[[argparse.Namespace], Row]
    environment: Mapping[str, str] = field(default_factory=dict)


def compete(
    description: str,
    title: str,
    contestants: Callable[[argparse.Namespace], Sequence[Contestant]],
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    compared: str | None = None,
    data: Sequence[str] = ("wn18rr", "fb15k-237"),
) -> None:
    """Measure all contestants on all graphs and write ``<out>/<name of the calling file>.json`` and ``.md``.

    ``compared``: a column that gets a second one beside it, how many times the first contestant's value each is.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(data), help=f"graphs (default: {' '.join(data)})")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("results/speed"), help="folder (default: results/speed)")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # the label of the contestant that this process is
    options(parser)
    settings = parser.parse_args()
    if settings.only is not None:
        (chosen,) = (it for it in contestants(settings) if it.label == settings.only)
        print(json.dumps(chosen.measure(settings)))
        return
    rows = []
    for graph in settings.data:
        group = [{"data": graph, "": it.label, **_alone(it, graph, settings.threads)} for it in contestants(settings)]
        if compared is not None:
            for row in group:
                row[f"{compared}, times the first"] = row[compared] / group[0][compared]
        rows += group
    _write(settings, title, rows)


def _alone(contestant: Contestant, graph: str, threads: int) -> Row:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **contestant.environment}
    command = [sys.executable, *sys.argv, "--data", graph, "--only", contestant.label]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{contestant.label} on {graph} ended with {done.returncode}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(graph, contestant.label, row, file=sys.stderr, flush=True)
    return row


def _write(settings: argparse.Namespace, title: str, rows: list[Row]) -> None:
    import kge_data
    from mulde.engine.provenance import environment
    from mulde.files import write_atomically
    from mulde.report.tables import table

    result = {
        "command": " ".join(["python", *sys.argv]), "title": title, "rows": rows, "seed": settings.seed,
        "checksums": {name: kge_data.load(name).checksum for name in settings.data},
        **environment(), "threads": settings.threads,
    }  # fmt: skip
    settings.out.mkdir(parents=True, exist_ok=True)
    place = settings.out / Path(sys.argv[0]).stem
    write_atomically(place.with_suffix(".json"), (json.dumps(result, indent=2) + "\n").encode())
    write_atomically(place.with_suffix(".md"), f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


class Peak:
    """Peak memory of the process above what it holds now; to be made after the imports."""

    def __init__(self) -> None:
        self.before = _status("VmRSS")

    def megabytes(self) -> float:
        """The highest level so far, above the first, in units of 10⁶ bytes."""
        return round((_status("VmHWM") - self.before) * 1024 / 1e6, 1)


def _status(name: str) -> int:
    with Path("/proc/self/status").open(encoding="utf-8") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith(name))


def median_ms(action: Callable[[], Any], seconds: float = 4.0, warm_up: int = 5, least: int = 5) -> float:
    """Median duration of an action in milliseconds, repeated for so many seconds after a few times unmeasured."""
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
    """Batches of a feed, epoch after epoch."""
    for epoch in itertools.count():
        feed.set_epoch(epoch)
        yield from feed


def pykeen_factory(graph: Any, count: int) -> Any:
    """So many training triples of every part of a graph's file as PyKEEN takes them, with inverse relations."""
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
