"""Independent trainings side by side, each in a process of its own.

Afterwards the calling process repeats the trainings one by one. Finished ones are reused, the error of a failed one is
raised, and with ``wait`` it waits for one that another run is training.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.engine.device import resolved
from mulde.kge.training import stage, supervised
from mulde.run_folders import locked_run
from mulde.worker import end_with_parent


def side_by_side(
    workers: int,
    scorers: Sequence[str],
    options: Sequence[supervised.Config],
    places: Sequence[Path],
    graph: TripleSet,
    source: str,
) -> None:
    """Train scorers on a graph, at most so many at once.

    They divide the threads of this process, and take CUDA devices in turn where the device is cuda without a number.

    Parameters
    ----------
    workers
        Processes at once.
    scorers, options, places
        Scorer, options and run folder of each training.
    graph
        The graph.
    source
        Name or path that it was loaded by.
    """
    jobs = [
        (scorer, replace(own, training=replace(own.training, device=device)), place, graph, source)
        for scorer, own, device, place in zip(
            scorers, options, devices(resolved(options[0].training.device), len(options)), places, strict=True
        )
        if not (place / "fit/record.json").exists()
    ]
    if len(jobs) < 2:
        return
    workers = min(workers, len(jobs))
    threads = max(1, torch.get_num_threads() // workers)
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent) as pool:
        for done in [pool.submit(_train, threads, *job) for job in jobs]:
            done.result()


def devices(device: str, number: int) -> list[str]:
    """Device of each of so many trainings."""
    there = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{i % there}" if there > 1 else device for i in range(number)]


def _train(threads: int, scorer: str, options: supervised.Config, place: Path, graph: TripleSet, source: str) -> None:
    process.start()
    with process.threads(threads), contextlib.suppress(Exception), locked_run(place):
        stage.train(scorer, graph, options, place, source=source, bar=False)
