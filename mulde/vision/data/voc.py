"""Images with boxes in the format of PASCAL VOC: one XML file per picture."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from mulde.errors import UsageError
from mulde.vision.data.annotated import Annotated, Pictures, loaded, part_in
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.gathering import Options
from mulde.vision.data.layouts import Part, part_of
from mulde.vision.pictures.files import DataFile, listed


def read_voc(path: Path, options: Options | None = None) -> DetectionSet:
    """A folder or zip with Annotations/x.xml, JPEGImages/x.jpg and ImageSets/Main/train.txt, or XML beside pictures.

    Parts are train, val and test of ImageSets/Main, or folders of these names; where an image is in none of them, there
    is no official split. VOC counts pixels from 1, both ends inside.

    Raises
    ------
    UsageError
        Where a file is missing or not as expected.
    """
    found = listed(path)
    files = [file for name, file in sorted(found.others.items()) if name.lower().endswith(".xml")]
    if not files:
        raise UsageError(
            f"{path}: expected the folders Annotations and JPEGImages of PASCAL VOC, or an XML file beside every "
            "picture; found no XML file"
        )
    parts: dict[str, Part] = {}
    for name, file in found.others.items():
        pure = PurePosixPath(name)
        if pure.parts[-3:-1] == ("ImageSets", "Main") and pure.suffix == ".txt" and (part := part_of(pure.stem)):
            parts |= {line.split()[0]: part for line in file.text().splitlines() if line.strip()}
    pictures = Pictures(found)
    entries = []
    for file in files:
        stem = PurePosixPath(file.name).stem
        entry = _entry(file, pictures, parts.get(stem) or part_in(file.name))
        entries.append(entry)
    return loaded(
        path, entries, sorted({name for entry in entries for name in entry.names}), options or Options(), found.notes
    )


def _entry(file: DataFile, pictures: Pictures, part: Part) -> Annotated:
    stem = PurePosixPath(file.name).stem
    boxes, names = [], []
    try:
        tree = ElementTree.fromstring(file.text())
        for thing in tree.iter("object"):
            sides = [float(thing.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append((sides[0] - 1, sides[1] - 1, sides[2], sides[3]))
            if sides[2] <= sides[0] or sides[3] <= sides[1]:
                boxes[-1] = (0.0, 0.0, 0.0, 0.0)
            names.append(thing.findtext("name", "").strip())
        width, height = (int(float(tree.findtext(f"size/{side}", "0") or 0)) for side in ("width", "height"))
    except (ElementTree.ParseError, ValueError) as error:
        raise UsageError(f"{file.place}: expected <object> with a <bndbox> of four numbers, but {error}") from error
    picture = pictures.near(stem, file.name) or pictures.near(tree.findtext("filename", stem), file.name)
    if picture is None:
        raise UsageError(f"{file.place}: there is no picture JPEGImages/{stem}.jpg")
    return Annotated(picture, part, boxes, names, (width, height) if width and height else None)
