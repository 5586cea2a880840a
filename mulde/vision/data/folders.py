"""Labelled pictures from folders and zip archives, see `mulde.vision.data.layouts`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import torch

from mulde.errors import UsageError
from mulde.vision.data.gathering import Options, gather
from mulde.vision.data.images import ImageSet
from mulde.vision.data.layouts import Level, placed, tiny_imagenet
from mulde.vision.pictures.files import Listing, listed
from mulde.vision.pictures.wording import few


def read_pictures(path: Path, options: Options | None = None, level: Level = "outer") -> ImageSet:
    """The pictures of a folder or zip archive whose folders name their classes.

    Parameters
    ----------
    path
        Folder or archive.
    options
        How the pictures are read.
    level
        Folder that is the class, where class folders have folders inside; see `layouts.LEVELS`.

    Raises
    ------
    UsageError
        Where there are no pictures, or none in a class folder, or one cannot be read.
    """
    found = listed(path)
    if not found.pictures:
        raise UsageError(f"{path}: no pictures; expected CLASS/name.jpg or train/CLASS/name.jpg{_instead(found)}")
    annotations: dict[str, str] = {}
    for name, file in found.others.items():
        if name.lower().endswith("_annotations.txt"):
            folder = str(PurePosixPath(name).parent)
            annotations |= tiny_imagenet(file.text(), "" if folder == "." else folder)
    places, notes = placed([file.name for file in found.pictures], str(path), annotations, level)
    labelled = [(file, place) for file, place in zip(found.pictures, places, strict=True) if place is not None]
    gathered = gather(path, [file for file, _ in labelled], options or Options())
    kept = [labelled[i][1] for i in gathered.kept]
    classes = sorted({place.name for _, place in labelled})
    number = {name: i for i, name in enumerate(classes)}
    parts = tuple(place.part for place in kept)
    return ImageSet(
        gathered.images,
        torch.tensor([number[place.name] for place in kept]),
        tuple(classes),
        path.stem,
        parts if all(parts) else (),
        notes=(*found.notes, *notes, *_empty(found), *gathered.notes),
    )


def _empty(found: Listing) -> list[str]:
    """A sentence about folders without any file of a set, which are no classes."""
    held = {str(folder) for file in found.pictures for folder in PurePosixPath(file.name).parents}
    other = {str(folder) for name in found.others for folder in PurePosixPath(name).parents}
    empty = sorted(found.folders - held - other)
    return [f"folders without pictures are no classes: {few(empty)}"] if empty else []


def _instead(found: Listing) -> str:
    kinds = sorted({PurePosixPath(name).suffix.lower() for name in found.others} - {""})
    return f"; there are files {few(kinds)}" if kinds else ""
