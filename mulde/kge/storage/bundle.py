"""A bundle: everything about one model in a folder or a single zip. Nothing in it is ever unpickled.

    bundle.json                     what it is; size and SHA-256 of every other file, and one of itself
    model.safetensors, model.json   the model as a run folder has it (`saved.py`), perhaps at fewer bits; or model.onnx
    entities.tsv, relations.tsv     names in the order of the ids
    known.npz                       all triples with their splits (`kge_data.packed`)
    README.md                       the model card
    calibration.json                probabilities of triples (`calibration.py`), where they were fitted to these weights
    NOTICE                          what the data's licence wants to be told, where it does

So a bundle answers questions, filters known answers and is evaluated without the data set. It is read whole and
checked before anything in it is used; a zip is never unpacked to disk. This file needs no torch (`export/runtime.py`).
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kge_data import packed
from kge_data.tripleset import TripleSet
from mulde import pretrained
from mulde.errors import UsageError
from mulde.files import new_folder, refuse_existing, write_atomically

MANIFEST, CARD, NOTICE, FORMAT = "bundle.json", "README.md", "NOTICE", "mulde bundle 1"
WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in a zip, so that equal contents are equal bytes
DAMAGED = "the bundle is damaged or was changed; copy it anew"


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, checked: where it came from, its manifest and its files."""

    place: Path
    manifest: dict[str, Any]
    files: dict[str, bytes]

    def file(self, name: str) -> bytes:
        """The content of a file. Raises UsageError where the bundle has none of this name."""
        if name not in self.files:
            found = ", ".join(sorted(self.files))
            raise UsageError(f"{self.place}: expected a bundle with {name}, found {found}{self._advice()}")
        return self.files[name]

    def _advice(self) -> str:
        """What a bundle of the other kind is good for."""
        if self.manifest.get("kind") == "onnx":
            return "; OnnxScorer (mulde.kge.inference.onnx_runtime) answers with it; the commands need the original"
        return "; `mulde export --to onnx` makes one that answers without torch"

    def graph(self) -> TripleSet:
        """The graph inside, with names and all known triples."""
        return packed.unpack(self.manifest["data"]["name"], self.files)


def locate(model: Path | str) -> Path:
    """Where a model lies: the path itself where it exists, or else a bundle in the box of that name."""
    path = Path(model)
    return path if path.exists() else pretrained.paths().get(str(model), path)


def is_bundle(place: Path) -> bool:
    """Whether a place is to be read as a bundle; any other folder may be a run folder."""
    return place.is_file() or (place / MANIFEST).is_file()


def read(place: Path) -> Bundle:
    """Read and check a bundle.

    Raises
    ------
    UsageError
        If it is none, is of another version, or any of its bytes is not as it was written.
    """
    try:
        contents = _folder(place) if place.is_dir() else _zip(place)
    except KeyError as error:
        raise UsageError(f"{place}: expected a bundle with {error.args[0]} in it; {DAMAGED}") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{place}: expected a bundle in a zip, but {error}; {DAMAGED}") from error
    except OSError as error:
        if error.filename is not None:  # the system's word on the file; otherwise a damaged offset was sought
            raise
        raise UsageError(f"{place}: expected a bundle in a zip, but {error}; {DAMAGED}") from error
    manifest = _manifest(place, contents.pop(MANIFEST))
    for name, facts in manifest["files"].items():
        content = contents.get(name, b"")
        if (len(content), _digest(content)) != (facts["bytes"], facts["sha256"]):
            raise UsageError(f"{place}: {name} is not as {MANIFEST} says; {DAMAGED}")
    return Bundle(place, manifest, contents)


def write(place: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a bundle, whole or not at all: a zip where the path ends in .zip, a folder otherwise.

    Raises UsageError where something is there already.
    """
    facts = {name: {"bytes": len(content), "sha256": _digest(content)} for name, content in sorted(files.items())}
    complete = {"format": FORMAT, **manifest, "files": facts}
    complete["checksum"] = _checksum(complete)
    contents = {MANIFEST: (json.dumps(complete, indent=1, ensure_ascii=False) + "\n").encode(), **files}
    if place.suffix != ".zip":
        with new_folder(place) as folder:
            for name, content in contents.items():
                write_atomically(folder / name, content)
        return
    refuse_existing(place)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in sorted(contents.items()):
            file.writestr(zipfile.ZipInfo(name, WHEN), content, zipfile.ZIP_DEFLATED, compresslevel=9)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, stream.getvalue())


def _manifest(place: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content)
        form, checksum = manifest.get("format"), manifest.pop("checksum", None)
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{place}: expected JSON in {MANIFEST}, but {error}; {DAMAGED}") from error
    if form != FORMAT:
        raise UsageError(
            f"{place}: expected format '{FORMAT}', found {form!r}; it was written by another version of mulde, "
            "take that one to open it"
        )
    if checksum != _checksum(manifest):
        raise UsageError(f"{place}: {MANIFEST} does not have its own checksum; {DAMAGED}")
    return manifest


def _folder(place: Path) -> dict[str, bytes]:
    """The files that the manifest names; others may lie beside them."""
    try:
        content = (place / MANIFEST).read_bytes()
        names = _names(content)
        return {MANIFEST: content, **{name: (place / name).read_bytes() for name in names}}
    except FileNotFoundError as error:
        raise KeyError(Path(error.filename).name) from error


def _zip(place: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(place) as file:
        try:
            content = file.read(MANIFEST)
            return {MANIFEST: content, **{name: file.read(name) for name in _names(content)}}
        except KeyError as error:
            raise KeyError(str(error.args[0]).split("'")[1]) from error


def _names(content: bytes) -> list[str]:
    """Names of the other files; none where the manifest cannot be read, which is told later."""
    try:
        names = [str(name) for name in json.loads(content)["files"]]
    except (ValueError, KeyError, TypeError):
        return []
    return [name for name in names if Path(name).name == name]


def _checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over the manifest without its checksum, in one spelling of JSON."""
    return _digest(json.dumps(manifest, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
