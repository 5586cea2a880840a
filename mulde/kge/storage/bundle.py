"""Bundles: one model with all it needs, in a folder or a zip. Nothing in a bundle is unpickled.

    bundle.json                     the manifest: description, size and SHA-256 of every other file, its own checksum
    model.safetensors, model.json   the model as in a run folder, possibly quantised; or model.onnx
    entities.tsv, relations.tsv     names in the order of the ids
    known.npz                       all triples with their splits (`kge_data.packed`), if they may be passed on
    README.md                       the model card
    calibration.json                calibration of probabilities, if one was fitted to these weights
    NOTICE                          text that the licence of the data requires

A bundle predicts, filters known answers and is evaluated without its data set; one without known.npz only predicts.
It is read and checked whole before it is used; a zip is not extracted to disk. This file imports no torch, for
`mulde.kge.inference.onnx_runtime`.

The manifest (format 2) holds ``format``, ``name``, ``kind`` ("model" or "onnx"), ``triples`` (false without known.npz),
``summary``, ``stored`` (precision of the tables), ``model``, ``data``, ``protocol``, ``graph_prior`` (whether
``metrics`` include it or masked self-loops), ``condition`` (which of them), ``metrics``, ``embeddings_only`` (metrics
without both; empty for ONNX), ``metrics_before`` (before quantisation), ``training``, ``versions``, ``files`` and
``checksum``. Metrics are by split and tie policy. Readers ignore other keys and files.
These optional keys are reserved:

    schema    version (int) of the conventions for the optional keys below
    sizes     dimensions (list of int, ascending) at which a model with nested dimensions can be cut
    lineage   checksums of the parents: a teacher's bundle, or the bundle that was updated
    types     name of a file with the types of entities (entity TAB type), as `mulde report --types` reads
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
from kge_data.spelling import spelled_as
from kge_data.tripleset import TripleSet
from mulde import pretrained
from mulde.errors import UsageError
from mulde.files import new_folder, refuse_existing, utf8, write_atomically
from mulde.kge.storage.recommended import recommended

MANIFEST, CARD, NOTICE, FORMAT = "bundle.json", "README.md", "NOTICE", "mulde bundle 2"
WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: equal contents give equal bytes
DAMAGED = "the bundle is damaged or was changed; copy it again"


@dataclass(frozen=True)
class Bundle:
    """A checked bundle in memory: its path, manifest and files."""

    place: Path
    manifest: dict[str, Any]
    files: dict[str, bytes]

    def file(self, name: str) -> bytes:
        """Content of a file.

        Raises
        ------
        UsageError
            If the bundle has no file of this name.
        """
        if name not in self.files:
            found = ", ".join(sorted(self.files))
            raise UsageError(f"{self.place}: expected a bundle with {name}, found {found}{self._advice()}")
        return self.files[name]

    def _advice(self) -> str:
        """What to do with a bundle of the other kind."""
        if self.manifest.get("kind") == "onnx":
            return "; it holds an ONNX model, which only `mulde predict` takes; give the original model"
        return "; `mulde export --to onnx` makes a bundle with an ONNX model"

    def graph(self) -> TripleSet:
        """The graph of the bundle, with names and all known triples; without triples if it was packed so."""
        return packed.unpack(self.manifest["data"]["name"], self.files, triples=self.has_triples)

    @property
    def has_triples(self) -> bool:
        """Whether the bundle contains the triples of its graph."""
        return bool(self.manifest.get("triples", True))


def locate(model: Path | str) -> Path:
    """Path of a model: the path itself, of a whole `mulde run` its recommended model, or a pretrained model by name."""
    path, models = Path(model), pretrained.paths()
    if path.exists():
        return recommended(path) or path
    return models.get(spelled_as(str(model), models) or "", path)


def is_bundle(place: Path) -> bool:
    """Whether a path is a bundle: a file, or a folder with a manifest."""
    return place.is_file() or (place / MANIFEST).is_file()


def read(place: Path) -> Bundle:
    """Read and check a bundle.

    Raises
    ------
    UsageError
        If the path is no bundle, the format is another one, or a file differs from its checksum.
    """
    try:
        contents = _folder(place) if place.is_dir() else _zip(place)
    except KeyError as error:
        raise UsageError(f"{place}: expected a bundle with {error.args[0]} in it; {DAMAGED}") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{place}: expected a bundle in a zip, but {error}; {DAMAGED}") from error
    except OSError as error:
        if error.filename is not None:  # an error of the file system; others come from damaged offsets
            raise
        raise UsageError(f"{place}: expected a bundle in a zip, but {error}; {DAMAGED}") from error
    manifest = _manifest(place, contents.pop(MANIFEST))
    for name, entry in manifest["files"].items():
        content = contents.get(name, b"")
        if (len(content), _digest(content)) != (entry["bytes"], entry["sha256"]):
            raise UsageError(f"{place}: {name} does not match its checksum in {MANIFEST}; {DAMAGED}")
    return Bundle(place, manifest, contents)


def write(place: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write a bundle atomically: a zip if the path ends in .zip, otherwise a folder.

    Raises
    ------
    UsageError
        If the path exists.
    """
    entries = {name: {"bytes": len(content), "sha256": _digest(content)} for name, content in sorted(files.items())}
    complete = {"format": FORMAT, **manifest, "files": entries}
    complete["checksum"] = _checksum(complete)
    contents = {MANIFEST: utf8(json.dumps(complete, indent=1, ensure_ascii=False) + "\n"), **files}
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
    write_atomically(place, stream.getvalue(), new=True)


def _manifest(place: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(content)
        form, checksum = manifest.get("format"), manifest.pop("checksum", None)
    except (ValueError, AttributeError) as error:
        raise UsageError(f"{place}: expected JSON in {MANIFEST}, but {error}; {DAMAGED}") from error
    if form != FORMAT:
        raise UsageError(
            f"{place}: expected format '{FORMAT}', found {form!r}; it was written by another version of mulde; "
            "open it with that version, or pack the model again"
        )
    if checksum != _checksum(manifest):
        raise UsageError(f"{place}: {MANIFEST} does not have its own checksum; {DAMAGED}")
    return manifest


def _folder(place: Path) -> dict[str, bytes]:
    """The files named in the manifest; others in the folder are ignored."""
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
    """Names of the other files; none if the manifest cannot be parsed, which `_manifest` reports."""
    try:
        names = [str(name) for name in json.loads(content)["files"]]
    except (ValueError, KeyError, TypeError):
        return []
    return [name for name in names if Path(name).name == name]


def _checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over the manifest without its checksum, as JSON with sorted keys."""
    return _digest(json.dumps(manifest, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
