"""Pictures that are read from their files when a batch needs them, in place of a tensor with all of them.

Every picture is read once in the beginning, so that broken ones are found before a training, and its digest and sums
are kept: checksum, mean and deviation of any part of the set need no further reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.workers import CHUNK, Form, Summary, Workers, stacked

AHEAD = 64 * 2**20
"""Bytes of pictures that are read before they are needed."""


class _Reader:
    """Files of a whole set, shared by all its parts."""

    def __init__(
        self, files: Sequence[DataFile], form: Form, found: Sequence[Summary], workers: Workers, cache: int
    ) -> None:
        self.files, self.form, self.workers, self.cache = files, form, workers, cache
        self.digests = np.array([np.frombuffer(each.digest, np.uint8) for each in found])
        self.sums = np.array([each.sums for each in found], np.int64)
        self.kept: dict[int, NDArray[np.uint8]] = {}
        self.bytes = 0
        self.ahead: dict[int, tuple[Future[NDArray[np.uint8]], Sequence[DataFile], int]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"kept": {}, "bytes": 0, "ahead": {}}

    def read(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """Pictures by their number in the whole set, (n, channels, h, w)."""
        missing = [row for row in dict.fromkeys(rows) if row not in self.kept and row not in self.ahead]
        found = dict(zip(missing, self._now(missing), strict=True)) if missing else {}
        for row in rows:
            if row in self.ahead:
                future, files, place = self.ahead.pop(row)
                found[row] = self.workers.result(future, stacked, files, self.form)[place]
        for row, picture in found.items():
            if self.bytes + picture.nbytes <= self.cache:
                self.kept[row] = picture.copy()  # a view would keep its whole batch
                self.bytes += picture.nbytes
        return np.stack([found[row] if row in found else self.kept[row] for row in rows])

    def begin(self, rows: Sequence[int], limit: int) -> None:
        """Read these pictures by the workers before they are needed; `limit`: at most so many at once."""
        if not self.workers.count:
            return
        new = [row for row in dict.fromkeys(rows) if row not in self.kept and row not in self.ahead]
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            files = [self.files[row] for row in part]
            future = self.workers.submit(stacked, files, self.form)
            self.ahead |= {row: (future, files, place) for place, row in enumerate(part)}
        for row in list(self.ahead)[: max(0, len(self.ahead) - limit)]:
            del self.ahead[row]  # of an epoch that was left

    def _now(self, rows: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        yield from stacked([self.files[row] for row in rows], self.form)


class StoredPictures:
    """Pictures (n, channels, h, w) uint8 in files."""

    dtype, ndim = torch.uint8, 4

    def __init__(self, reader: _Reader, rows: NDArray[np.int64], shape: Sequence[int]) -> None:
        """Use `stored`. rows: numbers of the pictures in the whole set. shape: channels, rows and columns."""
        self._reader, self._rows = reader, rows
        self.shape = torch.Size([len(rows), *shape])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Read the pictures of these rows, numbers (int64), marks (bool) or a slice."""
        chosen = self._rows[rows if isinstance(rows, slice) else rows.numpy()]
        if not len(chosen):
            return torch.empty(0, *self.shape[1:], dtype=torch.uint8)
        return torch.from_numpy(self._reader.read(chosen.tolist()))

    def subset(self, rows: Tensor) -> StoredPictures:
        """The pictures of these row numbers, without reading them."""
        return StoredPictures(self._reader, self._rows[rows.numpy()], self.shape[1:])

    def split(self, size: int) -> Iterator[Tensor]:
        """All pictures, read `size` at a time."""
        for start in range(0, len(self), size):
            self.prefetch(slice(start + size, start + 3 * size))
            yield self[start : start + size]

    def prefetch(self, rows: Tensor | slice) -> None:
        """Begin to read these rows."""
        chosen = self._rows[rows if isinstance(rows, slice) else rows.numpy()]
        limit = max(CHUNK, AHEAD // self.shape[1:].numel())
        self._reader.begin(chosen[:limit].tolist(), limit)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Sums of the values and of their squares per channel, (channels,) int64."""
        total, square = torch.from_numpy(self._reader.sums[self._rows].sum(0)).view(2, -1)
        return total, square

    def digest(self) -> bytes:
        """SHA-256 over the digests of the pixels of all pictures."""
        return hashlib.sha256(self._reader.digests[self._rows].tobytes()).digest()


def stored(
    files: Sequence[DataFile], form: Form, found: Sequence[Summary], workers: Workers, cache: int
) -> StoredPictures:
    """Pictures in files, of which each was read once.

    Parameters
    ----------
    files
        The files.
    form
        What they are brought to; its size is given.
    found
        What was kept of the first reading.
    workers
        The processes that read.
    cache
        Bytes of pictures that are kept in memory once they were read.
    """
    assert form.size is not None
    width, height = form.size
    reader = _Reader(files, form, found, workers, cache)
    return StoredPictures(reader, np.arange(len(files)), (1 if form.grey else 3, height, width))


def subset(values: Any, rows: Tensor) -> Any:
    """Rows of a tensor, or of pictures in files."""
    return values.subset(rows) if isinstance(values, StoredPictures) else values[rows]
