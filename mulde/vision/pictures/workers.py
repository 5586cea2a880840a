"""Reading of many pictures, in this process or by worker processes. The result does not depend on their number."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.orientation import Size
from mulde.vision.pictures.reading import BrokenPicture, Header, Pixels, read_header, read_pixels
from mulde.worker import end_with_parent

CHUNK = 64
MANY = 2000
"""From so many pictures on, workers are started by default."""

R = TypeVar("R")
Read = tuple[list[R], dict[int, str]]
"""Results of the pictures that could be read, and the sentences for the others by their place in the chunk."""


@dataclass(frozen=True)
class Form:
    """What pictures are brought to."""

    size: Size | None = None
    """Columns and rows; None: their own."""
    grey: bool = False
    """One channel instead of three."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is kept of a picture that is read again later."""

    header: Header
    digest: bytes
    """SHA-256 of its pixels."""
    sums: tuple[int, ...]
    """Sum of the values of each channel, then of their squares."""


def default_workers(count: int) -> int:
    """Worker processes for so many pictures: none for few, and none in a script of the user's, else up to four.

    A script without the guard ``if __name__ == "__main__"`` would run again in every worker.
    """
    main = sys.modules["__main__"]
    is_script = getattr(main, "__spec__", None) is None and Path(getattr(main, "__file__", "")).stem != "mulde"
    return 0 if count < MANY or is_script else min(4, os.cpu_count() or 1)


def headers(files: Sequence[DataFile], form: Form) -> Read[Header]:
    """The headers of pictures."""
    return _each(files, read_header)


def pixels(files: Sequence[DataFile], form: Form) -> Read[tuple[Pixels, Header]]:
    """Pictures as uint8 (h, w, 3) or (h, w), and their headers."""
    return _each(files, lambda file: read_pixels(file, form.size, form.grey))


def summaries(files: Sequence[DataFile], form: Form) -> Read[Summary]:
    """Digests and sums of pictures."""
    return _each(files, lambda file: _summary(*read_pixels(file, form.size, form.grey)))


def stacked(files: Sequence[DataFile], form: Form) -> NDArray[np.uint8]:
    """Pictures of one size as (n, channels, h, w). Raises BrokenPicture."""
    found = [read_pixels(file, form.size, form.grey)[0] for file in files]
    return np.stack([each[None] if each.ndim == 2 else each.transpose(2, 0, 1) for each in found])


class Workers:
    """Processes that read pictures; they start with the first task and end with this one."""

    def __init__(self, count: int) -> None:
        """count: number of processes; 0: this process reads."""
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __reduce__(self) -> tuple[type[Workers], tuple[int]]:
        return Workers, (self.count,)  # a copy, also in another process, starts its own

    def submit(self, function: Callable[..., R], files: Sequence[DataFile], form: Form) -> Future[R]:
        """Begin to read; the result is that of ``function(files, form)``."""
        if self.count and self._pool is None:
            spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
            self._pool = ProcessPoolExecutor(self.count, mp_context=spawn, initializer=end_with_parent)
        if self._pool is not None:
            try:
                return self._pool.submit(function, files, form)
            except BrokenProcessPool:
                self.count, self._pool = 0, None
        return _at_once(function, files, form)

    def result(self, future: Future[R], function: Callable[..., R], files: Sequence[DataFile], form: Form) -> R:
        """The result of `submit`; where the processes have ended, as in a script without a guard, this one reads."""
        try:
            return future.result()
        except BrokenProcessPool:
            self.count, self._pool = 0, None
            return function(files, form)

    def over(
        self, function: Callable[[Sequence[DataFile], Form], Read[Any]], files: Sequence[DataFile], form: Form
    ) -> Iterator[tuple[int, Any]]:
        """Apply one of the functions above to all files, in order: number of the file, and result or BrokenPicture."""
        ahead: deque[tuple[int, Sequence[DataFile], Future[Any]]] = deque()
        starts = iter(range(0, len(files), CHUNK))
        while True:
            while len(ahead) <= 2 * self.count and (start := next(starts, None)) is not None:
                chunk = files[start : start + CHUNK]
                ahead.append((start, chunk, self.submit(function, chunk, form)))
            if not ahead:
                return
            start, chunk, future = ahead.popleft()
            results, broken = self.result(future, function, chunk, form)
            rest = iter(results)
            for i in range(len(chunk)):
                yield start + i, BrokenPicture(broken[i]) if i in broken else next(rest)


def _each(files: Sequence[DataFile], function: Callable[[DataFile], R]) -> Read[R]:
    found, broken = [], {}
    for i, file in enumerate(files):
        try:
            found.append(function(file))
        except BrokenPicture as error:
            broken[i] = str(error)
    return found, broken


def _summary(picture: Pixels, header: Header) -> Summary:
    values = picture.reshape(-1, 1 if picture.ndim == 2 else 3).astype(np.float64)  # exact up to 2^53
    sums = (*map(int, values.sum(0)), *map(int, np.einsum("ij,ij->j", values, values)))
    return Summary(header, hashlib.sha256(picture.tobytes()).digest(), sums)


def _at_once(function: Callable[..., R], files: Sequence[DataFile], form: Form) -> Future[R]:
    future: Future[R] = Future()
    try:
        future.set_result(function(files, form))
    except Exception as error:
        future.set_exception(error)
    return future
