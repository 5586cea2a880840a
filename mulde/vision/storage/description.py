"""The description of a stored student, ``model.json``. Imports no torch.

format          as of all models
kind            "images"
task, method    what the student does, and the method that trained it
architecture    arguments that make the network again (`mulde.vision.models.rebuilding`), or the name of one's own
classes         names in the order of the logits
input           channels, and size: rows and columns, or null for any
normalisation   mean and deviation of every channel of pixels in [0, 1]
parameters, weights       number of parameters, and SHA-256 of ``model.safetensors``
data            source, name and checksum of the training data
settings, metrics         of the training; and whatever else the method records
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kge_data.regular_files import read_limited
from mulde import schema
from mulde.errors import UsageError
from mulde.schema import contents
from mulde.storage import container
from mulde.storage.archive import Checked, Folder
from mulde.storage.format import DESCRIPTION, FORMAT
from mulde.vision.storage import bundle

KIND = "images"
RECORD = "record.json"  # of a finished stage, see `mulde.engine.checkpoint`


def describe(place: Path) -> dict[str, Any]:
    """Content of ``model.json`` in a run folder or a bundle.

    Raises
    ------
    UsageError
        If it is missing, damaged, of another format, or describes another kind of model.
    """
    if not place.exists():
        raise UsageError(f"{place}: no such folder or file; expected the folder of a student, or a bundle of one")
    where = str(place / DESCRIPTION)
    if container.is_bundle(place):
        return parsed(bundle.read(place).file(DESCRIPTION), where)
    try:
        return parsed(read_limited(place / DESCRIPTION, schema.SMALL), where)
    except FileNotFoundError:
        advice = "finish the training first"
        if (place / RECORD).is_file():
            advice = (
                f"it is a stage of the run in {place.parent}: name that folder for the student, or repeat its command "
                f"with --keep {place.name}, which saves the network of the stage here"
            )
        raise UsageError(f"{place}: expected a folder with {DESCRIPTION}, found none; {advice}") from None


@contextmanager
def open_file(place: Path, name: str) -> Iterator[Checked]:
    """A file of a run folder or a bundle as a stream."""
    with (bundle.read(place) if container.is_bundle(place) else Folder(place)).open(name) as stream:
        yield stream


def parsed(content: bytes, where: str) -> dict[str, Any]:
    """The checked content of the file; errors as for `describe`."""
    description = schema.load(content, where)
    if (form := description.get("format")) != FORMAT:
        raise UsageError(
            f"{where}: expected format '{FORMAT}', found {schema.shown(form)}; it was written by another version of "
            "mulde; open it with that version, or train the model again"
        )
    if description.get("kind", "graph") != KIND:
        raise UsageError(f"{where}: expected a model of images, found one of a graph; name another model")
    schema.check(description, where, contents.IMAGES)
    channels, scale = description["input"]["channels"], description["normalisation"]
    if {len(scale["mean"]), len(scale["deviation"])} != {channels}:
        raise UsageError(
            f"{where}: expected mean and deviation of {channels} channels, found {len(scale['mean'])} and "
            f"{len(scale['deviation'])}; {schema.DAMAGED}"
        )
    return description
