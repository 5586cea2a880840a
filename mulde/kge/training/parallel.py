"""Independent trainings side by side, each in a process of its own.

Each process does what the one that waits for it does next by itself: where a training was finished that one finds it,
and where it failed that one meets the same error and tells it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

import kge_data
from mulde.engine import process
from mulde.kge.model.config import ModelConfig
from mulde.kge.training import stage
from mulde.kge.training.options import FitConfig


def side_by_side(
    workers: int,
    scorers: Sequence[str],
    shape: ModelConfig,
    fits: Sequence[FitConfig],
    places: Sequence[Path],
    data: str,
) -> None:
    """Train scorers on the graph ``data``, each as its fit says and into its place, at most so many at once.

    They divide this process's threads, and take CUDA devices in turn where the device is "cuda" without a number.
    """
    jobs = [
        (scorer, shape, replace(fit, device=device), place, data)
        for scorer, fit, device, place in zip(scorers, fits, devices(fits[0].device, len(fits)), places, strict=True)
        if not (place / "fit/record.json").exists()
    ]
    if len(jobs) < 2:
        return
    workers = min(workers, len(jobs))
    threads = max(1, torch.get_num_threads() // workers)
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        for done in [pool.submit(_train, threads, *job) for job in jobs]:
            done.result()


def devices(device: str, number: int) -> list[str]:
    """The device of each of so many trainings."""
    there = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{i % there}" if there > 1 else device for i in range(number)]


def _train(threads: int, scorer: str, shape: ModelConfig, fit: FitConfig, place: Path, data: str) -> None:
    process.start(threads)
    with contextlib.suppress(Exception):
        stage.train(scorer, kge_data.load(data), fit, shape, place, source=data, progress=False)
