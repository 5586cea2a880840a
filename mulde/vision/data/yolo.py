"""Images with boxes in the format of YOLO: a text file per picture, one object per line.

    class x y width height        the centre and size of a box, in fractions of the picture; classes count from 0
    class x1 y1 x2 y2 x3 y3 ...   a polygon; its bounding box is used

The text file of images/train/x.jpg is labels/train/x.txt, or beside the picture; a picture without one has no objects.
Names of the classes are in data.yaml (names), or, one per line, in classes.txt or obj.names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mulde.config import strict_yaml
from mulde.errors import UsageError
from mulde.vision.data.annotated import Annotated, loaded, part_in
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.gathering import Options
from mulde.vision.data.layouts import Part
from mulde.vision.pictures.files import DataFile, Listing, listed
from mulde.vision.pictures.orientation import Corners

NAMES = {"classes.txt", "obj.names", "classes.names", "names.txt", "_darknet.labels", "predefined_classes.txt"}
KEYS: dict[str, Part] = {"train": "train", "val": "valid", "valid": "valid", "test": "test"}
"""Parts in data.yaml."""


def read_yolo(path: Path, options: Options | None = None) -> DetectionSet:
    """A folder or zip of pictures and text files, or its data.yaml.

    Raises
    ------
    UsageError
        Where there are no text files, or one is not as expected.
    """
    root = path.parent if path.suffix.lower() in (".yaml", ".yml") else path
    found = listed(root)
    described = _description(found, path)
    texts = {name: file for name, file in found.others.items() if name.lower().endswith(".txt")}
    labels = {picture.name: label for picture in found.pictures if (label := _label(picture.name, texts))}
    if not labels:
        raise UsageError(
            f"{path}: no picture has a text file; expected labels/train/x.txt for images/train/x.jpg, or x.txt beside "
            "x.jpg, with lines of class x y width height"
        )
    parts = _parts(found, described)
    objects = {name: _objects(label) for name, label in labels.items()}
    most = max((kind for things in objects.values() for kind, _ in things), default=-1)
    names = _names(found, described, path)
    if names is None:
        names = [str(i) for i in range(most + 1)]
    if most >= len(names):
        worst = next(label for name, label in labels.items() if any(kind == most for kind, _ in objects[name]))
        raise UsageError(f"{worst.place}: class {most}, but there are {len(names)} class names")
    entries = []
    for picture in found.pictures:
        part = parts.get(picture.name, "") if parts else part_in(picture.name)
        if parts and not part:
            continue  # of no part that data.yaml names
        things = objects.get(picture.name, [])
        entries.append(
            Annotated(picture, part, [box for _, box in things], [names[kind] for kind, _ in things], relative=True)
        )
    return loaded(root, entries, names, options or Options(), found.notes)


def _label(picture: str, texts: Mapping[str, DataFile]) -> DataFile | None:
    pure = PurePosixPath(picture)
    folders = list(pure.parts[:-1])
    for i in reversed([i for i, name in enumerate(folders) if name.lower() == "images"]):
        swapped = PurePosixPath(*folders[:i], "labels", *folders[i + 1 :], f"{pure.stem}.txt")
        if (found := texts.get(str(swapped))) is not None:
            return found
    beside = texts.get(str(pure.with_suffix(".txt")))
    return beside or texts.get(str(PurePosixPath(*folders, "labels", f"{pure.stem}.txt")))


def _objects(file: DataFile) -> list[tuple[int, Corners]]:
    """Class and box, in fractions, of every line."""
    found: list[tuple[int, Corners]] = []
    for number, line in enumerate(file.text().splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            kind, values = int(float(words[0])), [float(word) for word in words[1:]]
            if kind < 0 or kind != float(words[0]) or len(values) < 4 or not all(map(math.isfinite, values)):
                raise ValueError
            polygon = len(values) >= 6 and len(values) % 2 == 0
            if not polygon and len(values) > 5:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"{file.place}, line {number}: expected class x y width height, got {line.strip()[:60]}"
            ) from None
        values = values if polygon else values[:4]  # a fifth number is a confidence
        if min(values) < -0.01 or max(values) > 1.01:
            raise UsageError(
                f"{file.place}, line {number}: expected fractions of the picture, from 0 to 1, got {line.strip()[:60]}"
            )
        if polygon:
            found.append((kind, (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))))
        else:
            x, y, width, height = values
            found.append((kind, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)))
    return found


def _description(found: Listing, path: Path) -> dict[str, Any]:
    """The content of data.yaml, where there is one."""
    files = [file for name, file in sorted(found.others.items()) if name.lower().endswith((".yaml", ".yml"))]
    named = [file for file in files if PurePosixPath(file.name).name == path.name] or files
    for file in sorted(named, key=lambda file: (PurePosixPath(file.name).stem != "data", file.name)):
        content = strict_yaml.load(file.text())
        if isinstance(content, dict) and "names" in content:
            return content
    return {}


def _names(found: Listing, described: Mapping[str, Any], path: Path) -> list[str] | None:
    names = described.get("names")
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise UsageError(f"{path}: names in data.yaml count from 0 without gaps, got {sorted(names)[:10]}")
        names = [names[i] for i in range(len(names))]
    if isinstance(names, list):
        return [str(name) for name in names]
    for name, file in sorted(found.others.items(), key=lambda item: item[0].count("/")):
        if PurePosixPath(name).name.lower() in NAMES:
            return [line.strip() for line in file.text().splitlines() if line.strip()]
    return None


def _parts(found: Listing, described: Mapping[str, Any]) -> dict[str, Part]:
    """Part of every picture that data.yaml names; empty where it names none that is there."""
    parts: dict[str, Part] = {}
    for key, part in KEYS.items():
        value = described.get(key)
        for place in [value] if isinstance(value, str) else value if isinstance(value, Sequence) else []:
            for name in _in_place(str(place), str(described.get("path") or ""), found):
                parts.setdefault(name, part)
    return parts


def _in_place(place: str, base: str, found: Listing) -> list[str]:
    """Pictures of a folder or of a text file with their paths; its place on another machine is cut from the left."""
    for whole in (f"{base}/{place}", place):
        pieces = [piece for piece in whole.replace("\\", "/").split("/") if piece not in ("", ".", "..")]
        for start in range(len(pieces)):
            name = "/".join(pieces[start:])
            if name in found.folders:
                return [file.name for file in found.pictures if file.name.startswith(f"{name}/")]
            if name.endswith(".txt") and name in found.others:
                lines = [line.strip().replace("\\", "/") for line in found.others[name].text().splitlines()]
                return [file.name for file in found.pictures if any(line.endswith(file.name) for line in lines if line)]
    return []
