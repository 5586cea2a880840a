"""What an ensemble answers to every training query, written down once: the labels of offline distillation.

An ensemble knows the training answers by heart, and whoever is asked in a test has those filtered out. So what is worth
keeping of its opinion is the order of the *other* entities: for each distinct query the K most probable entities among
those that no training triple gives as an answer, with their log-probability (softmax over all entities, the mean over
the teachers).

On disk a folder with ``ids.npy`` (q, K) int32, ``log_probabilities.npy`` (q, K) float16 and ``answers.json``; the
arrays are memory-mapped, so that they may be larger than memory. They serve Juniors of any scorer, dimension and seed,
also several that start at once: each writes into a folder of its own, and the first that is ready gives it the name.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor

from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge.teachers.ensemble import Ensemble

ROWS = 128  # queries at a time: a few MB of scores for each teacher
ABOUT = "answers.json"
LEAST = float(np.finfo(np.float16).min)
ARRAYS = ("ids", "log_probabilities")
ANEW = "remove the folder, and it is made anew"


@dataclass(frozen=True)
class CachedPredictions:
    """``ids`` (q, K) int32, the most probable first, and ``log_probabilities`` (q, K) float16.

    Where a query leaves fewer than K others, or a teacher bars one, its last places have the log-probability -inf: they
    count for nothing.
    """

    ids: NDArray[Any]
    log_probabilities: NDArray[Any]
    about: dict[str, Any]
    opened: bool = False
    """Whether they had been written before."""

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        """Their number, size, and the time that they took or saved."""
        size, seconds = self.about["bytes"] / 1e6, self.about["seconds"]
        took = f"opened, which saved {seconds:,.1f} s" if self.opened else f"written in {seconds:,.1f} s"
        return f"the teachers' answers to {len(self):,} queries, {self.ids.shape[1]} each, {size:.3g} MB: {took}"

    def labels(self, index: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Entities (b, K) and their probabilities (b, K), softened by T and normalised over the K of each query.

        All are 0 where every entity is an answer.
        """
        rows = index.cpu().numpy()
        ids = torch.from_numpy(self.ids[rows].astype(np.int64))
        logarithms = torch.from_numpy(self.log_probabilities[rows].astype(np.float32))
        return ids.to(index.device), (logarithms / temperature).softmax(1).nan_to_num(0).to(index.device)


def open_cached_predictions(folder: Path, wanted: dict[str, Any]) -> CachedPredictions | None:
    """What is written in a folder, or None where it is empty or does not exist.

    Raises UsageError where it was written about something else than ``wanted``, with the difference, or is damaged, or
    where other things are in the folder.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except OSError as error:
        if folder.is_dir() and (found := sorted(path.name for path in folder.iterdir())):
            raise UsageError(
                f"{folder}: expected {ABOUT} or an empty folder, found {', '.join(found[:5])}; name another folder, or "
                f"{ANEW}"
            ) from error
        return None
    except ValueError as error:
        raise UsageError(f"{folder / ABOUT}: expected JSON, but {error}; {ANEW}") from error
    different = [
        f"{name}: {_shown(about.get(name))} there, {_shown(value)} here"
        for name, value in wanted.items()
        if about.get(name) != value
    ]
    if different:
        raise UsageError(
            f"{folder} holds answers about something else; name another folder, or remove it:\n  "
            + "\n  ".join(different)
        )
    ids, kept = (_mapped(folder / f"{name}.npy") for name in ARRAYS)
    if ids.shape != kept.shape or ids.nbytes + kept.nbytes != about["bytes"]:
        raise UsageError(f"{folder}: expected arrays as {ABOUT} says, found {ids.shape} and {kept.shape}; {ANEW}")
    return CachedPredictions(ids, kept, about, opened=True)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: expected the array that belongs to {ABOUT}, but {error}; {ANEW}") from error
    return array


def _shown(value: Any) -> str:
    """A value as a difference shows it; of fingerprints the beginning is enough."""
    if isinstance(value, list):
        return f"{len(value)} ({', '.join(str(each)[:8] for each in value)})"
    return str(value)


def cache_predictions(
    ensemble: Ensemble,
    heads: Tensor,
    relations: Tensor,
    answers_of: Callable[[Tensor], tuple[Tensor, Tensor]],
    count: int,
    folder: Path | None,
    about: dict[str, Any],
    progress: Callable[[int], object] = lambda done: None,
) -> CachedPredictions:
    """Ask the ensemble all queries (q,) and write down the ``count`` most probable entities of each.

    answers_of: numbers (b,) of queries -> (rows, ids) of their training answers, which are left out.
    folder: where the arrays are kept; None keeps them in memory.
    about: what they are answers to; compared by `open_cached_predictions`.
    progress: called with the number of queries done since the last call.
    """
    begun = time.monotonic()
    entities = panel_log_probabilities(ensemble, heads[:1], relations[:1]).shape[1]
    shape = len(heads), min(count, entities)

    def ask(ids: NDArray[Any], kept: NDArray[Any]) -> dict[str, Any]:
        """Fill both arrays; what is said about them."""
        for part in torch.arange(len(heads)).split(ROWS):
            logarithms = panel_log_probabilities(ensemble, heads[part], relations[part])
            logarithms[answers_of(part)] = -torch.inf
            best = logarithms.topk(shape[1], 1)
            rows, values = slice(int(part[0]), int(part[-1]) + 1), best.values
            values[values < LEAST] = -torch.inf  # what a teacher bars
            ids[rows], kept[rows] = best.indices.numpy(), values.numpy()
            progress(len(part))
        return {**about, "bytes": ids.nbytes + kept.nbytes, "seconds": round(time.monotonic() - begun, 1)}

    if folder is None:
        ids, kept = np.empty(shape, np.int32), np.empty(shape, np.float16)
        return CachedPredictions(ids, kept, ask(ids, kept))
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")  # nobody else's: others train from `folder`
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        paths = [partial / f"{name}.npy" for name in ARRAYS]
        arrays = open_memmap(paths[0], "w+", np.int32, shape), open_memmap(paths[1], "w+", np.float16, shape)
        _claim(paths)
        complete = ask(*arrays)
        for array in arrays:
            array.flush()
        write_atomically(partial / ABOUT, json.dumps(complete, indent=2).encode())
        return _named(partial, folder, about)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _named(partial: Path, folder: Path, about: dict[str, Any]) -> CachedPredictions:
    """Give finished answers their name, or take those of another process that was faster."""
    try:
        partial.rename(folder)
    except OSError:
        if (found := open_cached_predictions(folder, about)) is None:
            raise
        return found
    found = open_cached_predictions(folder, about)
    assert found is not None
    return replace(found, opened=False)


def _claim(paths: list[Path]) -> None:
    """Take all the space of mapped files now: where a disk fills under a mapping, the process ends without a word."""
    try:
        for path in paths:
            with path.open("r+b") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError:
        for path in paths:
            path.unlink()
        raise


@torch.no_grad()
def panel_log_probabilities(ensemble: Ensemble, heads: Tensor, relations: Tensor) -> Tensor:
    """Mean over the teachers of log softmax over all entities, (b, e), on the CPU wherever the teachers are."""
    scores = [teacher.score_all(heads, relations) for teacher in ensemble.teachers]  # type: ignore[operator]
    return torch.stack([each.float().log_softmax(1) for each in scores]).mean(0).cpu()
