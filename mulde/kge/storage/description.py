"""The description of a stored model, ``model.json``, in a run folder or a bundle. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mulde.errors import UsageError
from mulde.files import from_json
from mulde.kge.storage import bundle
from mulde.kge.storage.recommended import DESCRIPTION, SUMMARY

FORMAT = "mulde model 2"
GRAPH_FILES = "graph_files"  # SHA-256 of the files of the graph beside it, in a run folder
CONTENT = ("scorer", "model", "num_entities", "num_relations", "parameters", "names", "data", "weights")


def describe(folder: Path | str) -> dict[str, Any]:
    """Content of ``model.json``.

    Raises
    ------
    UsageError
        If it is missing, damaged, or of another format.
    """
    folder = bundle.locate(folder)
    path = folder / DESCRIPTION
    try:
        content = read_file(folder, DESCRIPTION)
    except OSError as error:
        raise UsageError(_no_model(folder)) from error
    try:
        description: dict[str, Any] = from_json(content)
        form = description.get("format")
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{path}: expected a description in JSON, but {error}; the file is damaged") from error
    if form != FORMAT:
        raise UsageError(
            f"{path}: expected format '{FORMAT}', found {form!r}; it was written by another version of mulde; open it "
            "with that version, or train the model again"
        )
    if missing := [name for name in CONTENT if name not in description]:
        raise UsageError(f"{path}: {', '.join(missing)} missing; the file is damaged")
    return description


def read_file(place: Path, name: str) -> bytes:
    """Content of a file in a run folder or a bundle."""
    return bundle.read(place).file(name) if bundle.is_bundle(place) else (place / name).read_bytes()


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
