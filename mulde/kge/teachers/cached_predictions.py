"""Cached teacher predictions: the labels of offline distillation, computed once.

Teachers have memorised the training answers, and filtered evaluation removes these. Useful is the order of the *other*
entities: for each distinct query the K most probable entities among those that are no answer in the training triples,
with their log-probability (softmax over all entities, the mean over the teachers).

The teachers may be queried for some of the queries only; the others have no labels.

On disk a folder with ``ids.npy`` (q, K) int32, ``log_probabilities.npy`` (q, K) float16 and ``predictions.json``. The
arrays are memory-mapped, so that they may be larger than memory. An interrupted computation continues
(``unfinished_predictions.py``). They serve Juniors of any scorer, dimension and seed.
Several processes may compute them at once: each writes into a folder of its own, and the first one that is finished
gives it the name.
"""

from __future__ import annotations

import os
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
from tqdm import tqdm

from kge_data.files.process_group import process_group
from kge_data.tripleset import TripleSet
from mulde import schema
from mulde.engine.provenance import fingerprint, tensors_checksum
from mulde.errors import UsageError
from mulde.files import new_folder, sha256_of, write_json
from mulde.kge.feeds import AnswerFeed
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.unfinished_predictions import ABOUT, Unfinished
from mulde.schema import contents

ROWS = 128  # queries at a time: a few MB of scores for each teacher
PART = 1024  # queries that are kept together while the computation is unfinished
LEAST = float(np.finfo(np.float16).min)
ARRAYS = ("ids", "log_probabilities")
REMOVE = "remove the folder to compute them again"


@dataclass(frozen=True)
class CachedPredictions:
    """``ids`` (q, K) int32, the most probable first, and ``log_probabilities`` (q, K) float16.

    Where a query has fewer than K others, or a teacher masks one, the last places have the log-probability -inf and no
    weight.
    """

    ids: NDArray[Any]
    log_probabilities: NDArray[Any]
    about: dict[str, Any]
    opened: bool = False
    """Whether they were read from a folder."""
    numbers: NDArray[np.int64] | None = None
    """(q,) the feed's number of each query, ascending; None: 0, 1, ..."""

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        """Number, size, and the time that was needed or saved."""
        size, seconds = self.about["bytes"] / 1e6, self.about["seconds"]
        took = f"reused, saves {seconds:,.1f} s" if self.opened else f"computed in {seconds:,.1f} s"
        return f"teacher predictions for {len(self):,} queries, {self.ids.shape[1]} each, {size:.3g} MB: {took}"

    def labels(self, index: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Entities (b, K) and their probabilities (b, K) at a temperature, normalised over the K of each query.

        All probabilities are 0 where every entity is an answer, and for queries that are not cached.
        """
        rows, absent = index.cpu().numpy(), None
        if self.numbers is not None:
            numbers, rows = rows, np.searchsorted(self.numbers, rows).clip(max=len(self.numbers) - 1)
            absent = torch.from_numpy(self.numbers[rows] != numbers)
        ids = torch.from_numpy(self.ids[rows].astype(np.int64))
        logarithms = torch.from_numpy(self.log_probabilities[rows].astype(np.float32))
        if absent is not None:
            logarithms[absent] = -torch.inf
        return ids.to(index.device), (logarithms / temperature).softmax(1).nan_to_num(0).to(index.device)


def open_cached_predictions(folder: Path, wanted: dict[str, Any]) -> CachedPredictions | None:
    """Read predictions from a folder; None where it is empty or does not exist.

    Raises
    ------
    UsageError
        Where they are of other teachers or data than ``wanted``, damaged, or other files are in the folder.
    """
    about = schema.read(folder / ABOUT, contents.CACHED_PREDICTIONS, REMOVE)
    if about is None:
        if folder.is_dir() and (found := sorted(path.name for path in folder.iterdir())):
            raise UsageError(
                f"{folder}: expected {ABOUT} or an empty folder, found {', '.join(found[:5])}; name another folder, or "
                f"{REMOVE}"
            )
        return None
    different = [
        f"{name}: {_format(about.get(name))} in the folder, {_format(value)} here"
        for name, value in wanted.items()
        if about.get(name) != value
    ]
    if different:
        raise UsageError(
            f"{folder} holds predictions of other teachers or data; name another folder, or remove it:\n  "
            + "\n  ".join(different)
        )
    for file, digest in about.get("files", {}).items():
        if (folder / file).is_file() and sha256_of(folder / file) != digest:
            raise UsageError(f"{folder / file}: its checksum is not the one in {ABOUT}; the file is damaged; {REMOVE}")
    ids, kept = (_mapped(folder / f"{name}.npy") for name in ARRAYS)
    if ids.shape != kept.shape or ids.nbytes + kept.nbytes != about["bytes"]:
        raise UsageError(
            f"{folder}: expected arrays of the size in {ABOUT}, found {ids.shape} and {kept.shape}; {REMOVE}"
        )
    return CachedPredictions(ids, kept, about, opened=True)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r")
    except Exception as error:  # numpy raises many types for a damaged header
        raise UsageError(f"{path}: expected the array that belongs to {ABOUT}, but {error}; {REMOVE}") from error
    return array


def _format(value: Any) -> str:
    """A value in a message; fingerprints are cut."""
    if isinstance(value, list):
        return f"{len(value)} ({', '.join(str(each)[:8] for each in value)})"
    return str(value)


def cached_predictions(
    ensemble: Ensemble,
    graph: TripleSet,
    count: int,
    folder: Path | None,
    progress: bool | None = None,
    feed: AnswerFeed | None = None,
    numbers: Tensor | None = None,
) -> CachedPredictions:
    """Predictions of an ensemble for the training queries of a graph: read from a folder, or computed and written.

    Parameters
    ----------
    ensemble
        The teachers.
    graph
        Its training triples give the queries.
    count
        Entities per query (K).
    folder
        Folder of the predictions; None keeps them in memory.
    progress
        Show a progress bar; None: on terminals only.
    feed
        Has the queries; None: those of the training triples.
    numbers
        (q,) ascending numbers of the queries that are cached; None: all of them.

    Raises
    ------
    UsageError
        Where the folder holds predictions of other teachers or data.
    """
    about = {
        "teachers": [fingerprint(teacher) for teacher in ensemble.teachers], "data": graph.checksum, "top_k": count,
    }  # fmt: skip
    queries, chosen = feed or AnswerFeed(graph, 1), numbers
    if chosen is None:
        chosen = torch.arange(queries.count)
    if feed is not None or numbers is not None:
        about["queries"] = tensors_checksum({"heads": queries.heads[chosen], "relations": queries.relations[chosen]})
    known = None if numbers is None else numbers.numpy()
    if folder is not None and (found := open_cached_predictions(folder, about)) is not None:
        return replace(found, numbers=known)
    if process_group().rank:
        folder = None  # only the first of several processes writes

    def answers_of(index: Tensor) -> tuple[Tensor, Tensor]:
        batch = queries.batch(chosen[index])
        return batch.rows, batch.answers

    hidden = None if progress is None else not progress
    with tqdm(total=len(chosen), desc="teacher predictions", unit="query", disable=hidden) as bar:
        found = cache_predictions(
            ensemble, queries.heads[chosen], queries.relations[chosen], answers_of, count, folder, about, bar.update
        )
    return replace(found, numbers=known)


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
    """Query the ensemble and keep the most probable entities of each query.

    Parameters
    ----------
    ensemble
        The teachers.
    heads, relations
        Queries (q,), relations with internal ids.
    answers_of
        Numbers (b,) of queries -> (rows, ids) of their training answers, which are left out.
    count
        Entities per query (K).
    folder
        Folder of the arrays; None keeps them in memory.
    about
        Teachers and data, compared by `open_cached_predictions`.
    progress
        Called with the number of queries done since the last call.
    """
    begun, unfinished = time.monotonic(), Unfinished.beside(folder, about)
    entities = ensemble_log_probabilities(ensemble, heads[:1], relations[:1]).shape[1]
    shape = len(heads), min(count, entities)

    def best(part: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
        """The ids and log-probabilities of some queries."""
        found = []
        for some in part.split(ROWS):
            logarithms = ensemble_log_probabilities(ensemble, heads[some], relations[some])
            logarithms[answers_of(some)] = -torch.inf
            values, ids = logarithms.topk(shape[1], 1)
            values[values < LEAST] = -torch.inf  # masked by a teacher
            found.append((ids.to(torch.int32), values.to(torch.float16)))
            progress(len(some))
        ids, values = map(torch.cat, zip(*found, strict=True))
        return ids.numpy(), values.numpy()

    def fill(ids: NDArray[Any], kept: NDArray[Any]) -> dict[str, Any]:
        """Fill both arrays; their description."""
        for number, part in enumerate(relations.argsort(stable=True).split(PART)):  # some teachers need this order
            found = unfinished.read(number)
            if found is None or found[0].shape != (len(part), shape[1]):
                found = best(part)
                unfinished.write(number, *found)
            else:
                progress(len(part))
            ids[part.numpy()], kept[part.numpy()] = found
        return {**about, "bytes": ids.nbytes + kept.nbytes, "seconds": round(time.monotonic() - begun, 1)}

    if folder is None:
        ids, kept = np.empty(shape, np.int32), np.empty(shape, np.float16)
        return CachedPredictions(ids, kept, fill(ids, kept))
    try:
        with new_folder(folder, replace_empty=True) as temporary:  # other processes read from `folder`
            paths = [temporary / f"{name}.npy" for name in ARRAYS]
            arrays = open_memmap(paths[0], "w+", np.int32, shape), open_memmap(paths[1], "w+", np.float16, shape)
            _claim(paths)
            complete = fill(*arrays)
            for array in arrays:
                array.flush()
            write_json(temporary / ABOUT, {**complete, "files": {path.name: sha256_of(path) for path in paths}})
    except UsageError:
        if (folder / ABOUT).exists():  # another process was faster
            unfinished.remove()
        if (found := open_cached_predictions(folder, about)) is None:
            raise
        return found
    unfinished.remove()
    found = open_cached_predictions(folder, about)
    assert found is not None
    return replace(found, opened=False)


def _claim(paths: list[Path]) -> None:
    """Allocate the space of mapped files now: a disk that fills up under a mapping kills the process silently."""
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
def ensemble_log_probabilities(ensemble: Ensemble, heads: Tensor, relations: Tensor) -> Tensor:
    """Mean over the teachers of log softmax over all entities, (b, e), on the CPU."""
    scores = [teacher.score_all(heads, relations) for teacher in ensemble.teachers]  # type: ignore[operator]
    return torch.stack([each.float().log_softmax(1) for each in scores]).mean(0).cpu()
