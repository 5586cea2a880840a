"""Pictures with boxes as annotation files give them, brought to one size with their boxes.

Boxes are turned with their pictures. Boxes outside the picture or without area are dropped and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from mulde.errors import UsageError
from mulde.vision.data.boxes import DetectionSet, padded
from mulde.vision.data.gathering import Options, gather
from mulde.vision.data.layouts import CONTAINERS, Part, part_of
from mulde.vision.pictures.files import DataFile, Listing
from mulde.vision.pictures.orientation import Corners, Size, is_upright, upright_boxes
from mulde.vision.pictures.reading import Header

DEFAULT = 128
"""Rows and columns where no size is given and the pictures have different sizes."""
LARGEST = 1024


@dataclass(frozen=True)
class Annotated:
    """A picture and its objects as in a file."""

    picture: DataFile
    part: Part
    boxes: list[Corners] = field(default_factory=list)
    """In pixels, or in fractions of the stored picture where `relative`."""
    names: list[str] = field(default_factory=list)
    """Class of every box."""
    size: Size | None = None
    """Columns and rows of the picture as the annotations state them."""
    relative: bool = False


def loaded(
    path: Path, entries: Sequence[Annotated], classes: Sequence[str], options: Options, notes: Sequence[str] = ()
) -> DetectionSet:
    """The set of these pictures and boxes.

    Raises
    ------
    UsageError
        Where there is nothing to detect, or a picture cannot be read.
    """
    if not entries or not classes:
        raise UsageError(
            f"{path}: {len(entries)} annotated pictures and {len(classes)} classes; there is nothing to detect"
        )
    gathered = gather(path, [entry.picture for entry in entries], options, DEFAULT, LARGEST)
    kept = [entries[i] for i in gathered.kept]
    number = {name: i for i, name in enumerate(classes)}
    height, width = gathered.images.shape[2:]
    objects: list[tuple[Tensor, Tensor]] = []
    dropped = 0
    for entry, header in zip(kept, gathered.headers, strict=True):
        boxes = _on_upright(entry, header)
        limits = torch.tensor(header.size * 2, dtype=torch.float32)
        boxes = boxes.clamp_min(0).minimum(limits)
        real = (boxes[:, 2:] > boxes[:, :2]).all(1)
        dropped += int((~real).sum())
        ids = torch.tensor([number[name] for name in entry.names], dtype=torch.int64)
        objects.append(((boxes * torch.tensor([width, height] * 2) / limits)[real], ids[real]))
    parts = [entry.part for entry in kept]
    lost = [f"{dropped} box{'es' * (dropped != 1)} without area or outside the picture left out"] if dropped else []
    return padded(
        gathered.images,
        objects,
        classes,
        path.stem,
        parts if all(parts) else (),
        (*notes, *lost, *gathered.notes),
    )


def part_in(name: str) -> Part:
    """The part that the nearest folder around a file, with a name relative to the set, stands for."""
    return next((part for folder in reversed(PurePosixPath(name).parts[:-1]) if (part := part_of(folder))), "")


class Pictures:
    """The pictures of a listing by name."""

    def __init__(self, found: Listing) -> None:
        self.by_name = {file.name: file for file in found.pictures}
        self.by_file: dict[str, list[DataFile]] = {}
        for file in found.pictures:
            pure = PurePosixPath(file.name)
            for key in (pure.name, pure.stem):
                self.by_file.setdefault(key, []).append(file)

    def near(self, name: str, beside: str) -> DataFile | None:
        """The picture of this file name or stem: of several that nearest to the annotation file `beside`."""
        given = PurePosixPath(name.replace("\\", "/"))
        for folder in (PurePosixPath(beside).parent, PurePosixPath()):
            if exact := self.by_name.get(str(folder / given)):
                return exact
        found = self.by_file.get(given.name) or []
        here = PurePosixPath(beside).parts
        return max(found, key=lambda file: _nearness(PurePosixPath(file.name).parts, here), default=None)


def _nearness(picture: Sequence[str], annotations: Sequence[str]) -> tuple[int, bool]:
    """Folders that both have, as in images/train and annotations/train; and whether it is in a folder of pictures."""
    return len(set(picture[:-1]) & set(annotations[:-1])), any(name.lower() in CONTAINERS for name in picture[:-1])


def _on_upright(entry: Annotated, header: Header) -> Tensor:
    """Boxes (o, 4) in pixels of the upright picture."""
    columns, rows = header.stored
    boxes = [
        (a * columns, b * rows, c * columns, d * rows) if entry.relative else (a, b, c, d) for a, b, c, d in entry.boxes
    ]
    if not is_upright(entry.size, header.stored, header.orientation):
        boxes = upright_boxes(boxes, header.stored, header.orientation)
    return torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
