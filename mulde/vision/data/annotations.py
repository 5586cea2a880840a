"""Images with boxes from the user's files: VOC's XML and COCO's JSON.

Pictures are brought to a common size, boxes with them. Boxes without area are dropped, and COCO's crowds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import torch
from torch import Tensor

from mulde.errors import UsageError, missing
from mulde.vision.data.boxes import DetectionSet, padded
from mulde.vision.data.reading import PARTS, PICTURES, bytes_of, put, room


class Annotated(NamedTuple):
    """A picture and its objects as in a file."""

    picture: Path
    part: str
    boxes: list[tuple[float, float, float, float]]
    names: list[str]


def read_voc(path: Path, size: int | None = None, grey: bool = False) -> DetectionSet:
    """A folder in the layout of PASCAL VOC: Annotations/x.xml, JPEGImages/x.jpg, ImageSets/Main/train.txt.

    It may be one folder deeper. Parts are train, val and test of ImageSets/Main; without these files, or with
    an image that is in none of them, there is no official split. VOC counts pixels from 1, both ends inside.
    """
    inside = [folder for folder in sorted(path.glob("*")) if (folder / "Annotations").is_dir()]
    root = path if (path / "Annotations").is_dir() else inside[0] if len(inside) == 1 else None
    if root is None:
        raise UsageError(f"{path}: expected the folders Annotations and JPEGImages of PASCAL VOC, found neither here")
    parts: dict[str, str] = {}
    for file in sorted((root / "ImageSets/Main").glob("*.txt")):
        if file.stem in PARTS:
            parts |= {line.split()[0]: PARTS[file.stem] for line in file.read_text().splitlines() if line.strip()}
    pictures = {file.stem: file for file in (root / "JPEGImages").glob("*") if file.suffix.lower() in PICTURES}
    found = []
    for file in sorted((root / "Annotations").glob("*.xml")):
        if file.stem not in pictures:
            raise UsageError(f"{file}: there is no picture JPEGImages/{file.stem}.jpg")
        found.append(_voc(file, pictures[file.stem], parts.get(file.stem, "")))
    return _loaded(path, found, sorted({name for entry in found for name in entry.names}), size, grey)


def read_coco(path: Path, size: int | None = None, grey: bool = False) -> DetectionSet:
    """COCO: a folder with annotations/instances_train2017.json and the pictures in train2017/, or one JSON file.

    The pictures of a single JSON file are beside it or in images/ beside it, and it has no official split. In a
    folder, val is the test part, because the labels of COCO's test images are not published.
    """
    files = sorted(path.glob("annotations/instances_*.json")) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: expected annotations/instances_*.json in this folder, or a JSON file itself")
    found: list[Annotated] = []
    classes: dict[int, str] = {}
    for file in files:
        part = file.stem.removeprefix("instances_") if path.is_dir() else ""
        folders = [path / part, path / "images"] if path.is_dir() else [path.parent, path.parent / "images"]
        official = {"train": "train", "val": "test"}.get(part.rstrip("0123456789"), "")
        entries, categories = _coco(file, folders, official)
        found += entries
        classes |= categories
    return _loaded(path, found, [classes[key] for key in sorted(classes)], size, grey)


def _voc(file: Path, picture: Path, part: str) -> Annotated:
    boxes, names = [], []
    try:
        for thing in ElementTree.parse(file).iter("object"):
            corners = [float(thing.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            if corners[2] > corners[0] and corners[3] > corners[1]:
                boxes.append((max(0.0, corners[0] - 1), max(0.0, corners[1] - 1), corners[2], corners[3]))
                names.append(thing.findtext("name", "").strip())
    except (ElementTree.ParseError, ValueError) as error:
        raise UsageError(f"{file}: expected <object> with a <bndbox> of four numbers, but {error}") from error
    return Annotated(picture, part, boxes, names)


def _coco(file: Path, folders: Sequence[Path], part: str) -> tuple[list[Annotated], dict[int, str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        classes = {entry["id"]: entry["name"] for entry in content["categories"]}
        entries = {
            entry["id"]: Annotated(_existing(entry["file_name"], folders, file), part, [], [])
            for entry in content["images"]
        }
        for thing in content["annotations"]:
            left, top, width, height = thing["bbox"]
            if width > 0 and height > 0 and not thing.get("iscrowd"):
                entries[thing["image_id"]].boxes.append((left, top, left + width, top + height))
                entries[thing["image_id"]].names.append(classes[thing["category_id"]])
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: expected JSON, but {error}") from error
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{file}: expected COCO's lists categories, images and annotations that refer to each other; "
            f"{type(error).__name__}: {error}"
        ) from error
    return list(entries.values()), classes


def _existing(name: str, folders: Iterable[Path], file: Path) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"{file}: there is no picture {name} in {' or '.join(map(str, folders))}")


def _loaded(
    path: Path, entries: Sequence[Annotated], classes: Sequence[str], size: int | None, grey: bool
) -> DetectionSet:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pictures are read with Pillow", "vision") from error
    if not entries or not classes:
        raise UsageError(
            f"{path}: {len(entries)} annotated pictures and {len(classes)} classes; there is nothing to detect"
        )
    images = torch.empty(0)
    objects: list[tuple[Tensor, Tensor]] = []
    for i, entry in enumerate(entries):
        with Image.open(entry.picture) as opened:
            picture = opened.convert("L" if grey else "RGB")
        width, height = picture.size
        if size is not None:
            picture = picture.resize((size, size), Image.Resampling.BOX)
        pixels = bytes_of(picture)
        if not i:
            images = room(path, len(entries), pixels)
        put(pixels, images, i, entry.picture.name, path)
        scale = torch.tensor([picture.width / width, picture.height / height] * 2)
        boxes = torch.tensor(entry.boxes, dtype=torch.float32).view(-1, 4) * scale
        objects.append((boxes, torch.tensor([classes.index(name) for name in entry.names], dtype=torch.int64)))
    parts = [entry.part for entry in entries] if all(entry.part for entry in entries) else []
    return padded(images, objects, classes, path.name, parts)
