"""Predict classes, boxes or masks of pictures with a student.

Examples:
    mulde predict runs/small photo.jpg
    mulde predict runs/small photos/ --top 3 --out answers.csv
    mulde predict runs/detector street.png --least 0.5 --json
    mulde predict runs/stream frames/ --out masks/        one PNG of class ids for each picture
    mulde predict small-onnx.zip photo.jpg                needs numpy, Pillow and onnxruntime only

Pictures are turned upright, brought to the size of the training and normalised as in the training. Boxes are in pixels
of the picture. A picture that cannot be read is an error, with its name; --skip-broken leaves it out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mulde.cli._output import announce, show
from mulde.cli._skip_broken import advising_skip_broken
from mulde.cli.images._student import outputs
from mulde.config import Count, Fraction, Threads
from mulde.config.command_line import Positional, parse
from mulde.errors import UsageError
from mulde.files import new_folder, refuse_existing, user_path, write_atomically
from mulde.report.tables import table
from mulde.vision.inference.answers import Answer, Outputs, answers
from mulde.vision.pictures.files import DataFile, is_picture, listed
from mulde.vision.pictures.reading import as_file, pillow
from mulde.vision.pictures.wording import counted

FIRST = ("model", "pictures", "top", "least", "out", "skip_broken", "network", "device", "json")
SHOWN = 50  # rows of the table on the screen


@dataclass(frozen=True)
class Config:
    """What to predict."""

    model: Positional[Path]
    """Run folder or bundle of an image method, or ONNX bundle (`mulde export --to onnx`)."""
    pictures: Positional[tuple[Path, ...]]
    """Pictures, folders of pictures, or zip archives."""
    top: Count = 1
    """Number of classes for each picture."""
    least: Fraction = 0.3
    """Smallest score of a box."""
    out: Path | None = None
    """CSV file for the answers; of a segmentation, a new folder for the masks."""
    skip_broken: bool = False
    """Name pictures that cannot be read, and leave them out."""
    network: str | None = None
    """The network, if it is one of your own: file.py:function or module:function."""
    threads: Threads | None = None
    """Processor threads; by default all."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print the result as JSON."""


def main(argv: Sequence[str]) -> int:
    settings = parse(Config, argv, "mulde predict", __doc__ or "", first=FIRST)
    files = _files(settings.pictures)
    if settings.out is not None:
        refuse_existing(settings.out)
    broken: list[str] = []
    with outputs(settings.model, settings.network, settings.device, settings.threads) as model:
        _refuse_options(settings, model)
        found = answers(model, files, top=settings.top, least=settings.least,
                        broken=broken if settings.skip_broken else None)  # fmt: skip
        with advising_skip_broken():
            rows = _with_masks(found, settings.out) if model.task == "segment" else _rows(found)
    for sentence in broken:
        announce(f"left out: {sentence}")
    if settings.out is not None and model.task != "segment":
        write_atomically(settings.out, _csv(rows), new=True)
    text = table(rows[:SHOWN]) if model.task != "embed" else ""
    if len(rows) > SHOWN and text:
        text += f"\n{len(rows) - SHOWN:,} more; --out FILE.csv has all"
    if settings.out is not None:
        text = f"{settings.out}: answers for {counted(len({row['picture'] for row in rows}))}"
    return show({"answers": rows, "broken": broken}, text, settings.json)


def _refuse_options(settings: Config, model: Outputs) -> None:
    if settings.top > len(model.classes) and model.task == "classify":
        raise UsageError(f"--top {settings.top}: the student knows {len(model.classes)} classes; give at most so many")
    if model.task == "embed" and settings.out is None and not settings.json:
        raise UsageError("the student computes embeddings, not classes; --out FILE.csv writes them, --json prints them")


def _files(places: Sequence[Path]) -> list[DataFile]:
    """The pictures in files, folders and archives."""
    found: list[DataFile] = []
    for given in places:
        place = user_path(str(given))
        if not place.exists():
            raise UsageError(f"{place}: no such picture or folder; name pictures or folders of them")
        if place.is_dir() or place.suffix.lower() == ".zip":
            inside = listed(place).pictures
            if not inside:
                raise UsageError(f"{place}: expected pictures in it, found none; name a folder of pictures")
            found += inside
        elif not is_picture(place.name.lstrip(".")):
            raise UsageError(f"{place}: expected a picture such as photo.jpg or photo.png; name a picture or a folder")
        else:
            found.append(as_file(place))
    if not found:
        raise UsageError("mulde predict needs pictures: name files or folders after the model")
    return found


def _rows(found: Iterator[Answer]) -> list[dict[str, Any]]:
    """One row for each class or box; a picture without boxes has an empty one."""
    rows = []
    for answer in found:
        for row in answer.rows or [{"class": None}]:
            rows.append({"picture": answer.file.name, **row})
    return rows


def _with_masks(found: Iterator[Answer], out: Path | None) -> list[dict[str, Any]]:
    """Rows of a segmentation, whose masks are written into a new folder."""
    if out is None:
        return _rows(found)
    with new_folder(out) as folder:

        def written() -> Iterator[Answer]:
            for number, answer in enumerate(found):
                stream = io.BytesIO()
                pillow().fromarray(answer.mask).save(stream, "PNG")
                name = f"{number:06d}-{Path(answer.file.name).stem}.png"
                write_atomically(folder / name, stream.getvalue())
                yield answer

        return _rows(written())


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode(errors="surrogateescape")
