"""Class maps: pictures whose pixels are class ids, paired with pictures by their names.

Ids count from 0. The value 255 stands for pixels without a class; where all maps of a folder hold 0 and 255 alone, as
the masks of one object do, 255 is class 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError
from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.orientation import Size, is_upright, upright
from mulde.vision.pictures.reading import Header, read_ids
from mulde.vision.pictures.wording import few

VOID = 255
_ENDINGS = re.compile(
    r"([_. -]+(l|mask|masks|label|labels|labelids|labeltrainids|gt|seg|segmentation|annotation|annot|gtfine|gtcoarse|"
    r"leftimg8bit|image|img|matte|groundtruth|ground|truth))+$",
    re.IGNORECASE,
)
"""What file names of maps and pictures have at their ends, as in x_mask.png or x_leftImg8bit.png."""


@dataclass(frozen=True)
class Coding:
    """What the values of class maps mean."""

    void: int | None = VOID
    """Value of pixels without a class; None: there is none."""
    binary: bool = False
    """Whether 255 is class 1."""


def class_map(file: DataFile, picture: Header | None, size: Size | None, coding: Coding) -> NDArray[np.int64]:
    """Class ids (h, w), -1 where there is none.

    Parameters
    ----------
    file
        The map.
    picture
        Header of its picture. A map of the stored size is turned upright with the picture, unless it has an orientation
        of its own.
    size
        Columns and rows that it is brought to, by the nearest pixel; None: its own.
    coding
        What the values mean.

    Raises
    ------
    UsageError
        Where it cannot be read, is in colour, or has another shape than its picture.
    """
    ids, own = read_ids(file)
    if picture is not None and own.orientation == 1:
        if not is_upright(own.stored, picture.stored, picture.orientation):
            ids = upright(ids, picture.orientation)
        _check_shape(file, (ids.shape[1], ids.shape[0]), picture.size)
    if coding.binary:
        ids = (ids > 0).astype(np.int64)
    elif coding.void is not None:
        ids = np.where(ids == coding.void, -1, ids)
    return ids if size is None else _nearest(ids, size)


def coding_of(files: Sequence[DataFile], void: str | None = None, classes: int | None = None) -> Coding:
    """What the values of these maps mean.

    Parameters
    ----------
    files
        The maps; they are read until one has another value than 0 and 255.
    void
        The value of pixels without a class, or "none"; None: as the head of this file says.
    classes
        Number of classes where it is known; with more than two, 255 is never a class.

    Raises
    ------
    UsageError
        Where `void` is neither a number nor "none".
    """
    if void == "none":
        return Coding(None)
    if void is not None:
        if not void.isdecimal():
            raise UsageError(f'void is the value of pixels without a class, or "none"; got {void}')
        return Coding(int(void))
    if classes is not None and classes > 2:
        return Coding()
    seen: set[int] = set()
    for file in files:
        seen.update(np.unique(read_ids(file)[0]).tolist())
        if not seen <= {0, VOID}:
            return Coding()
    return Coding(binary=VOID in seen)


def paired(pictures: Sequence[DataFile], maps: Sequence[DataFile], where: str) -> list[DataFile]:
    """The map of every picture: that of the same name, but for endings such as _mask and zeros before numbers.

    Raises
    ------
    UsageError
        Where a picture has no map.
    """
    best: list[DataFile | None] = [None] * len(pictures)
    for key in (_plain, _shortened, _numbered, _numbers):
        found = _matched(pictures, maps, key)
        if sum(each is not None for each in found) > sum(each is not None for each in best):
            best = found
    without = [file.name for file, own in zip(pictures, best, strict=True) if own is None]
    if without or not maps:
        raise UsageError(
            f"{where}: {len(without)} of {len(pictures)} pictures have no class map of their name: {few(without)}; "
            f"there are {len(maps)} maps{', the first ' + maps[0].name if maps else ''}"
        )
    return [each for each in best if each is not None]


def _matched(
    pictures: Sequence[DataFile], maps: Sequence[DataFile], key: Callable[[str], Hashable]
) -> list[DataFile | None]:
    """The only map with the key of the only picture with it, in the same folder."""

    def keyed(file: DataFile) -> tuple[PurePosixPath, Hashable]:
        pure = PurePosixPath(file.name)
        return pure.parent, key(pure.stem)

    keys = [keyed(file) for file in pictures]
    counts = Counter(keys)
    by_key: dict[Hashable, list[DataFile]] = {}
    for file in maps:
        by_key.setdefault(keyed(file), []).append(file)
    return [by_key[own][0] if own[1] and counts[own] == 1 and len(by_key.get(own, ())) == 1 else None for own in keys]


def _plain(stem: str) -> str:
    return stem


def _shortened(stem: str) -> str:
    return _ENDINGS.sub("", stem).casefold()


def _numbered(stem: str) -> Hashable:
    return tuple(int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", _shortened(stem)) if piece)


def _numbers(stem: str) -> Hashable:
    return tuple(int(piece) for piece in re.findall(r"\d+", _shortened(stem)))


def _check_shape(file: DataFile, size: Size, picture: Size) -> None:
    if abs(size[0] * picture[1] / (size[1] * picture[0]) - 1) > 0.02:
        raise UsageError(
            f"{file.place} has {size[0]} x {size[1]} pixels, its picture {picture[0]} x {picture[1]}; expected the same"
        )


def _nearest(ids: NDArray[np.int64], size: Size) -> NDArray[np.int64]:
    if (ids.shape[1], ids.shape[0]) == size:
        return ids
    columns, rows = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, ids.shape[::-1], strict=True)
    )
    return ids[rows[:, None], columns]
