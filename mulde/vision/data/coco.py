"""Images with boxes in the format of COCO: JSON files with lists of images, annotations and categories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mulde.errors import UsageError
from mulde.vision.data.annotated import Annotated, Pictures, loaded, part_in
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.gathering import Options
from mulde.vision.data.layouts import Part, part_of
from mulde.vision.pictures.files import DataFile, listed


def read_coco(path: Path, options: Options | None = None) -> DetectionSet:
    """COCO: a folder or zip with annotations/instances_train2017.json and pictures in train2017/, or one JSON file.

    JSON files may also be beside the pictures of a part, as in train/_annotations.coco.json. The pictures of a single
    JSON file are in its folder or below, and it has no official split. Crowds are left out. Where there is no test
    part, val is the test part, because the labels of COCO's test images are not published.

    Raises
    ------
    UsageError
        Where a file is missing or not as expected.
    """
    single = path.is_file() and path.suffix.lower() == ".json"
    found = listed(path.parent if single else path)
    files = [file for name, file in sorted(found.others.items()) if name.lower().endswith(".json")]
    if single:
        files = [DataFile(str(path), path.name)]
    elif instances := [file for file in files if PurePosixPath(file.name).name.startswith("instances_")]:
        files = instances
    if not files:
        raise UsageError(f"{path}: expected annotations/instances_*.json in this folder, or a JSON file itself")
    parts = ["" if single else _part(file.name) for file in files]
    pictures = Pictures(found)
    entries: list[Annotated] = []
    classes: dict[Any, str] = {}
    for file, part in zip(files, parts, strict=True):
        official: Part = "test" if part == "valid" and "test" not in parts else part
        own, categories = _entries(file, pictures, part, official)
        entries += own
        classes |= categories
    names = list(dict.fromkeys(classes[key] for key in sorted(classes, key=lambda key: (str(type(key)), key))))
    return loaded(path, entries, names, options or Options(), found.notes)


def _part(name: str) -> Part:
    stem = PurePosixPath(name).stem.removeprefix("instances_")
    return part_of(stem) or part_in(name)


def _entries(file: DataFile, pictures: Pictures, part: str, official: Part) -> tuple[list[Annotated], dict[Any, str]]:
    try:
        content = json.loads(file.text())
        classes = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        entries = {
            entry["id"]: Annotated(_picture(str(entry["file_name"]), pictures, file, part), official, size=_size(entry))
            for entry in content["images"]
        }
        for thing in content["annotations"]:
            if thing.get("iscrowd"):
                continue
            left, top, width, height = (float(value) for value in thing["bbox"])
            entries[thing["image_id"]].boxes.append((left, top, left + width, top + height))
            entries[thing["image_id"]].names.append(classes[thing["category_id"]])
    except json.JSONDecodeError as error:
        raise UsageError(f"{file.place}: expected JSON, but {error}") from error
    except UsageError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{file.place}: expected COCO's lists categories, images and annotations that refer to each other; "
            f"{type(error).__name__}: {error}"
        ) from error
    return list(entries.values()), classes


def _picture(name: str, pictures: Pictures, file: DataFile, part: str) -> DataFile:
    stem = PurePosixPath(file.name).stem.removeprefix("instances_")
    beside: Sequence[str] = (f"{stem}/{file.name}", file.name) if part else (file.name,)
    for place in beside:
        if (found := pictures.near(name, place)) is not None:
            return found
    raise UsageError(f"{file.place}: there is no picture {name}, beside it or in another folder of the set")


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
