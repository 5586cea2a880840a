"""Layouts of folders of pictures: which folder names a part, and which a class.

    cat/1.jpg                              a folder for each class (torchvision's ImageFolder)
    train/cat/1.jpg  val/cat/2.jpg         parts, also training, validation, testing, seg_train, test_set, ...
    train/cat/images/1.jpg  val/images/2.jpg  val/val_annotations.txt      Tiny-ImageNet
    cat/train/1.jpg                        parts inside classes
    pets/train/cat/1.jpg                   any of them inside further folders

Where class folders have folders inside, as in animals/cat/1.jpg, the outer one is the class, as for ImageFolder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from mulde.errors import UsageError
from mulde.vision.pictures.wording import are, counted, few

Part = Literal["train", "valid", "test", ""]
Level = Literal["outer", "inner", "path"]
LEVELS: tuple[Level, ...] = ("outer", "inner", "path")
"""Folder that is the class: the first below the part, the one that holds the picture, or all between them."""
WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "validate": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_PART = re.compile(r"(?:seg|my|new|data)?[ _-]?(" + "|".join(sorted(WORDS, key=len, reverse=True)) + r")"
                   r"[ _-]?(?:set|data|dataset|images?|imgs?|split|part|folder|dir|\d+)?")  # fmt: skip
CONTAINERS = {"images", "image", "imgs", "img", "jpegimages", "pictures"}
"""Folders that hold pictures and name neither a part nor a class."""


@dataclass(frozen=True)
class Placed:
    """Part and class of a picture."""

    part: Part
    name: str
    """Class."""


def part_of(folder: str) -> Part:
    """The part that a folder's name stands for, "" for none."""
    found = _PART.fullmatch(folder.lower())
    return WORDS[found[1]] if found else ""


def placed(
    names: Sequence[str], where: str, annotations: Mapping[str, str] | None = None, level: Level = "outer"
) -> tuple[list[Placed | None], list[str]]:
    """Part and class of every picture.

    Parameters
    ----------
    names
        Names relative to the folder, with /.
    where
        The folder, for messages.
    annotations
        Classes of pictures that are in no class folder, by name, as in Tiny-ImageNet's val_annotations.txt.
    level
        Folder that is the class, see `LEVELS`.

    Returns
    -------
    Placed, or None for pictures that are left out, and sentences about those.

    Raises
    ------
    UsageError
        Where no picture is in a class folder.
    """
    annotations = annotations or {}
    folders = _unwrapped([PurePosixPath(name).parts[:-1] for name in names])
    parts = _parts(folders)
    divided = any(parts)
    inside = [_below(path, part, divided) for path, part in zip(folders, parts, strict=True)]
    inside = _without_containers(inside, parts)
    found: list[Placed | None] = []
    for name, path, part in zip(names, inside, parts, strict=True):
        label = annotations.get(name) or ("" if not path else _class(path, level))
        found.append(Placed(part, label) if label else None)
    left = [name for name, place in zip(names, found, strict=True) if place is None]
    if len(left) == len(names):
        raise UsageError(
            f"{where}: {are(len(names))} in no class folder; expected CLASS/name.jpg or train/CLASS/name.jpg"
        )
    return found, _notes(left, inside, level)


def tiny_imagenet(text: str, folder: str) -> dict[str, str]:
    """Classes by picture from the lines of val_annotations.txt, which is in this folder: name, class, box."""
    rows = (line.split("\t") if "\t" in line else line.split() for line in text.splitlines() if line.strip())
    prefix = f"{folder}/" if folder else ""
    found: dict[str, str] = {}
    for row in rows:
        if len(row) >= 2:
            found |= {f"{prefix}images/{row[0]}": row[1], f"{prefix}{row[0]}": row[1]}
    return found


Path = tuple[str, ...]


def _unwrapped(folders: Sequence[Path]) -> list[Path | None]:
    """Without the folders around everything; None for pictures beside the folders."""
    rest: list[Path | None] = list(folders)
    while True:
        if any(rest):
            rest = [path or None for path in rest]
        tops = {path[0] for path in rest if path}
        shorter = [path[1:] if path else None for path in rest]
        if len(tops) != 1 or part_of(*tops) or any(path is not None and _no_class(path) for path in shorter):
            return rest
        rest = shorter


def _no_class(path: Path) -> bool:
    return all(name.lower() in CONTAINERS for name in path)


def _parts(folders: Sequence[Path | None]) -> list[Part]:
    """The part of every picture, "" for those outside the parts; "" for all where the folders are not parts."""
    paths = [path for path in folders if path]
    tops = {path[0]: part_of(path[0]) for path in paths}
    inside = {path[1] for path in paths if len(path) > 1 and tops[path[0]]}
    others_deep = any(len(path) > 1 and not tops[path[0]] for path in paths)
    kinds = set(tops.values())
    if inside and (len(kinds - {""}) > 1 or "" not in kinds or (len(inside) > 1 and not others_deep)):
        return [tops[path[0]] if path else "" for path in folders]
    second = {part_of(path[1]) if len(path) > 1 else "" for path in paths}
    if "train" in second and "" not in second:  # parts inside classes
        return [part_of(path[1]) if path else "" for path in folders]
    return [""] * len(folders)


def _below(path: Path | None, part: Part, divided: bool) -> Path | None:
    """The folders below the part; None outside the parts of a divided set."""
    if path is None or not part:
        return None if divided else path
    if part_of(path[0]) != part:
        return (path[0], *path[2:])  # parts inside classes
    return path[2:] if len(path) > 2 and path[1] == path[0] else path[1:]  # seg_train/seg_train/cat


def _without_containers(paths: Sequence[Path | None], parts: Sequence[Part]) -> list[Path | None]:
    """Without folders such as images/, where every training picture still has a class folder then."""
    shorter = [
        None if path is None else tuple(name for name in path if name.lower() not in CONTAINERS) for path in paths
    ]
    held = [bool(path) for path, part in zip(shorter, parts, strict=True) if path is not None and part in ("train", "")]
    if all(held) and held:
        return shorter
    return [None if path and part and _no_class(path) else path for path, part in zip(paths, parts, strict=True)]


def _class(path: Path, level: Level) -> str:
    return {"outer": path[0], "inner": path[-1], "path": "/".join(path)}[level]


def _notes(left: Sequence[str], inside: Sequence[Path | None], level: Level) -> list[str]:
    notes = []
    if left:
        notes.append(f"{counted(len(left))} without a class left out: {few(left, 3)}")
    if level == "outer" and any(path and len(path) > 1 for path in inside):
        notes.append(
            "class folders have folders inside, which are ignored, as torchvision's ImageFolder does; classes=inner or "
            "classes=path after --data takes them as classes"
        )
    return notes
