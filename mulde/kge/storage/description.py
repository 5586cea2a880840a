"""The description of a stored model, ``model.json``, in a run folder or a bundle. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kge_data.regular_files import read_limited
from mulde import schema
from mulde.errors import UsageError
from mulde.kge.storage import bundle
from mulde.kge.storage.recommended import DESCRIPTION, SUMMARY
from mulde.kge.storage.sizes import refuse_other_sizes
from mulde.schema import contents
from mulde.storage.archive import Checked, Folder
from mulde.storage.format import FORMAT
from mulde.storage.header import read_header

GRAPH_FILES = "graph_files"  # SHA-256 of the files of the graph beside it, in a run folder


def describe(folder: Path | str) -> dict[str, Any]:
    """Content of ``model.json``.

    Raises
    ------
    UsageError
        If it is missing, damaged, of another format, or of other sizes than the weights.
    """
    folder = bundle.locate(folder)
    path = folder / DESCRIPTION
    packed = bundle.read(folder) if bundle.is_bundle(folder) else None
    if packed is None and not os.path.lexists(path):
        raise UsageError(_no_model(folder))
    content = read_limited(path, schema.SMALL) if packed is None else packed.file(DESCRIPTION)
    description = schema.load(content, str(path))
    if (form := description.get("format")) != FORMAT:
        raise UsageError(
            f"{path}: expected format '{FORMAT}', found {schema.shown(form)}; it was written by another version of "
            "mulde; open it with that version, or train the model again"
        )
    if description.get("kind", "graph") != "graph":
        raise UsageError(f"{path}: expected a model of a graph, found one of images; name another model")
    schema.check(description, str(path), contents.DESCRIPTION)
    _refuse_other_sizes(folder, packed, description)
    return description


@contextmanager
def open_file(place: Path, name: str) -> Iterator[Checked]:
    """A file of a run folder or a bundle as a stream."""
    with (bundle.read(place) if bundle.is_bundle(place) else Folder(place)).open(name) as stream:
        yield stream


def _refuse_other_sizes(place: Path, packed: bundle.Bundle | None, description: dict[str, Any]) -> None:
    """Refuse sizes that are not those in the manifest of a bundle, or in the header of the weights."""
    if packed is not None:
        if any(packed.manifest["model"][name] != description[name] for name in contents.SIZES):
            raise UsageError(
                f"{place / DESCRIPTION}: expected the model of {bundle.MANIFEST}, found another one; {schema.DAMAGED}"
            )
    elif (place / bundle.WEIGHTS).exists():
        where = str(place / bundle.WEIGHTS)
        with open_file(place, bundle.WEIGHTS) as stream:
            refuse_other_sizes(read_header(stream, where), description, where)


def _no_model(folder: Path) -> str:
    if not folder.exists():
        return (
            f"{folder}: no such folder or file; expected a run folder (of `mulde train` or `mulde distil`), a bundle "
            "(of `mulde pack`), or a name of `mulde list models`"
        )
    inside = sorted(found.parent for found in folder.glob(f"**/{DESCRIPTION}"))
    runs = sorted(found.parent for found in folder.glob(f"**/{SUMMARY}") if found.parent not in inside)
    if runs:
        return f"{folder}: expected a model or a run, found runs in it: {', '.join(map(str, runs))}; name one"
    if inside:
        return f"{folder}: expected a single model, found several: {', '.join(map(str, inside))}; name one"
    return f"{folder}: expected a run folder with {DESCRIPTION}, found none; finish the training first"
