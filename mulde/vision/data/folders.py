"""Labelled pictures from folders and zip archives, see `mulde.vision.data.layouts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import torch

from mulde.errors import UsageError
from mulde.vision.data.gathering import Options, gather
from mulde.vision.data.images import ImageSet
from mulde.vision.data.layouts import Level, placed, tiny_imagenet
from mulde.vision.pictures.files import Listing, listed
from mulde.vision.pictures.wording import few


def read_pictures(
    path: Path, options: Options | None = None, level: Level = "outer", domains: bool = False
) -> ImageSet:
    """The pictures of a folder or zip archive whose folders name their classes.

    Parameters
    ----------
    path
        Folder or archive.
    options
        How the pictures are read.
    level
        Folder that is the class, where class folders have folders inside; see `layouts.LEVELS`.
    domains
        Whether the outer folder is a domain and the inner one the class, as in photo/dog/1.jpg.

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
    names = [file.name for file in found.pictures]
    places, notes = placed(names, str(path), annotations, "inner" if domains else level)
    outer = placed(names, str(path), annotations, "outer")[0] if domains else places
    labelled = [
        (file, place, around.name)
        for file, place, around in zip(found.pictures, places, outer, strict=True)
        if place is not None and around is not None
    ]
    gathered = gather(path, [file for file, *_ in labelled], options or Options())
    kept = [labelled[i] for i in gathered.kept]
    labels, classes = _numbered([place.name for _, place, _ in kept], [place.name for _, place, _ in labelled])
    parts = tuple(place.part for _, place, _ in kept)
    images = ImageSet(
        gathered.images,
        labels,
        classes,
        path.stem,
        parts if all(parts) else (),
        notes=(*found.notes, *notes, *_empty(found), *gathered.notes),
    )
    if not domains:
        return images
    numbers, domain_names = _numbered([around for *_, around in kept], [around for *_, around in labelled])
    return replace(images, domains=numbers, domain_names=domain_names)


def _numbered(names: Sequence[str], of_all: Sequence[str]) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Numbers of the names among the sorted names of all."""
    known = sorted(set(of_all))
    number = {name: i for i, name in enumerate(known)}
    return torch.tensor([number[name] for name in names]), tuple(known)


def _empty(found: Listing) -> list[str]:
    """A sentence about folders without any file of a set, which are no classes."""
    held = {str(folder) for file in found.pictures for folder in PurePosixPath(file.name).parents}
    other = {str(folder) for name in found.others for folder in PurePosixPath(name).parents}
    empty = sorted(found.folders - held - other)
    return [f"folders without pictures are no classes: {few(empty)}"] if empty else []


def _instead(found: Listing) -> str:
    kinds = sorted({PurePosixPath(name).suffix.lower() for name in found.others} - {""})
    return f"; there are files {few(kinds)}" if kinds else ""
