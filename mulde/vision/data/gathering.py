"""From picture files to the images of a set: one size, one number of channels, in memory or read when needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.stored import StoredPictures, stored
from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.orientation import Size
from mulde.vision.pictures.reading import BrokenPicture, Header
from mulde.vision.pictures.wording import counted, few
from mulde.vision.pictures.workers import Form, Summary, Workers, default_workers, headers, pixels, summaries

IN_MEMORY = 256 * 2**20
"""Bytes up to which a set is kept in memory; it depends on no machine, because checksums differ."""
LARGEST, DEFAULT = 256, 64
"""Pictures of one size keep it up to this many rows and columns; others are brought to the default size."""

ADVICE = (
    "repair or remove it, or leave out pictures that cannot be read: folder:PATH,skip-broken=1, and likewise for "
    "other kinds of data"
)


@dataclass(frozen=True)
class Options:
    """How pictures are read."""

    size: int | None = None
    """Rows and columns that every picture is brought to; None: their own, or a default where they differ."""
    grey: bool = False
    """Whether to convert pictures to one channel."""
    skip_broken: bool = False
    """Whether to leave out pictures that cannot be read, instead of an error."""
    workers: int | None = None
    """Worker processes; None: some where there are many pictures."""
    cache: int = 256
    """Megabytes of pictures that are kept in memory, where a set is not kept as a whole."""


@dataclass(frozen=True)
class Gathered:
    """Pictures of one size."""

    images: Tensor | StoredPictures
    """(n, channels, h, w) uint8."""
    kept: list[int]
    """Number of each among the files; smaller than the number of files where broken ones were skipped."""
    headers: list[Header]
    """What the files say."""
    notes: list[str] = field(default_factory=list)
    """Sentences about what was changed."""


def gather(
    path: Path, files: Sequence[DataFile], options: Options, default: int = DEFAULT, largest: int = LARGEST
) -> Gathered:
    """Read pictures.

    Parameters
    ----------
    path
        Their folder or archive, for messages.
    files
        The pictures.
    options
        How they are read.
    default
        Rows and columns where no size is given and the pictures have different sizes, or are larger than `largest`.

    Raises
    ------
    UsageError
        Where a picture cannot be read, or none can.
    """
    reader = _Reading(path, files, options)
    size = (options.size, options.size) if options.size else reader.common_size(default, largest)
    form = Form(size, options.grey)
    needed = len(reader.kept) * (1 if options.grey else 3) * size[0] * size[1]
    images = reader.in_memory(form) if needed <= IN_MEMORY else reader.in_files(form)
    return Gathered(images, reader.kept, reader.headers, reader.notes())


class _Reading:
    """The passes over the files of one set; each leaves out the broken ones."""

    def __init__(self, path: Path, files: Sequence[DataFile], options: Options) -> None:
        self.path, self.files, self.options = path, files, options
        self.kept = list(range(len(files)))
        self.headers: list[Header] = []
        self.broken: list[str] = []
        self.sized = ""
        self.workers = Workers(default_workers(len(files)) if options.workers is None else options.workers)

    def common_size(self, default: int, largest: int) -> Size:
        """The size of all pictures, or the default."""
        self.headers = list(self._over(headers, Form()))
        sizes = Counter(header.size for header in self.headers)
        size = next(iter(sizes))
        if len(sizes) == 1 and max(size) <= largest:
            return size
        side = min(default, max(8, int(median(min(header.size) for header in self.headers)) // 8 * 8))
        ends = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        came = _written(size) if len(sizes) == 1 else f"{_written(ends[0])} to {_written(ends[-1])}"
        self.sized = f"pictures of {came} pixels are brought to {side} x {side}; size=N gives another size"
        return side, side

    def in_memory(self, form: Form) -> Tensor:
        """All pictures as one tensor."""
        assert form.size is not None
        width, height = form.size
        images = np.empty((len(self.kept), 1 if form.grey else 3, height, width), np.uint8)
        self.headers = []
        for i, (picture, header) in enumerate(self._over(pixels, form)):
            images[i] = picture if form.grey else picture.transpose(2, 0, 1)
            self.headers.append(header)
        return torch.from_numpy(images[: len(self.headers)])

    def in_files(self, form: Form) -> StoredPictures:
        """Pictures that are read when they are needed."""
        found: list[Summary] = list(self._over(summaries, form))
        self.headers = [each.header for each in found]
        return stored([self.files[i] for i in self.kept], form, found, self.workers, self.options.cache * 10**6)

    def notes(self) -> list[str]:
        """Sentences about what was changed."""
        counts = {
            "turned upright by the EXIF orientation": sum(each.orientation > 1 for each in self.headers),
            "with transparency laid on white": sum(each.transparent for each in self.headers),
            "scaled from 16 to 8 bits": sum(each.deep for each in self.headers),
        }
        changed = [f"{counted(count)} {what}" for what, count in counts.items() if count]
        if self.broken:
            changed.append(f"{counted(len(self.broken))} that cannot be read left out: {few(self.broken)}")
        return [self.sized] * bool(self.sized) + changed

    def _over(self, function: Callable[..., Any], form: Form) -> Iterator[Any]:
        before, self.kept = self.kept, []
        for place, result in self.workers.over(function, [self.files[i] for i in before], form):
            if not isinstance(result, BrokenPicture):
                self.kept.append(before[place])
                yield result
            elif self.options.skip_broken:
                self.broken.append(self.files[before[place]].name)
            else:
                raise BrokenPicture(result.sentence, ADVICE)
        if not self.kept:
            raise UsageError(f"{self.path}: none of {counted(len(self.files))} can be read: {few(self.broken)}")


def _written(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
