"""Bundles: one model with all it needs, in a folder or a zip. Nothing in a bundle is unpickled.

    bundle.json                     the manifest: description, size and SHA-256 of every other file, its own checksum
    model.safetensors, model.json   the model as in a run folder, possibly quantised; or model.onnx
    entities.tsv, relations.tsv     names in the order of the ids
    known.npz                       all triples with their splits (`kge_data.packed`), if they may be passed on
    README.md                       the model card
    calibration.json                calibration of probabilities, if one was fitted to these weights
    NOTICE                          text that the licence of the data requires

A bundle predicts, filters known answers and is evaluated without its data set; one without known.npz only predicts.
It is checked whole before it is used, in pieces, with sizes compared first; a zip is not extracted. This file imports
no torch, for `mulde.kge.inference.onnx_runtime`.

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
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from kge_data import packed
from kge_data.errors import DataError
from kge_data.spelling import spelled_as
from kge_data.tripleset import SPLITS, TripleSet
from mulde import pretrained, schema
from mulde.errors import UsageError
from mulde.files import make_folder, new_folder, refuse_existing, utf8, write_atomically
from mulde.kge.storage.recommended import recommended
from mulde.kge.storage.sizes import refuse_other_sizes
from mulde.schema import contents
from mulde.storage.archive import DAMAGED, Checked, opened
from mulde.storage.header import read_header

MANIFEST, CARD, NOTICE, FORMAT = "bundle.json", "README.md", "NOTICE", "mulde bundle 2"
WEIGHTS = "model.safetensors"
WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: equal contents give equal bytes


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its path and manifest. Each file is read at its first use, and checked again."""

    place: Path
    manifest: dict[str, Any]

    @contextmanager
    def open(self, name: str) -> Iterator[Checked]:
        """A file as a stream of bytes; the caller compares its `digest` with `sha256`.

        Raises
        ------
        UsageError
            If the bundle has no file of this name.
        """
        if name not in self.names:
            found = ", ".join(sorted(self.names))
            raise UsageError(f"{self.place}: expected a bundle with {name}, found {found}{self._advice()}")
        with opened(self.place) as files, files.open(name) as stream:
            yield stream

    def file(self, name: str) -> bytes:
        """Content of a file.

        Raises
        ------
        UsageError
            If the bundle has no file of this name, or it has changed.
        """
        with self.open(name) as stream:
            content = stream.whole(self.names[name]["bytes"])
            if stream.digest() != self.names[name]["sha256"]:
                raise _changed(self.place, name)
        return content

    @property
    def names(self) -> dict[str, Any]:
        """Names of the files, with size and SHA-256 of each."""
        files: dict[str, Any] = self.manifest["files"]
        return files

    def _advice(self) -> str:
        """What to do with a bundle of the other kind."""
        if self.manifest["kind"] == "onnx":
            return "; it holds an ONNX model, which only `mulde predict` takes; give the original model"
        return "; `mulde export --to onnx` makes a bundle with an ONNX model"

    def graph(self) -> TripleSet:
        """The graph of the bundle, with names and all known triples; without triples if it was packed so."""
        wanted = (packed.ENTITIES, packed.RELATIONS, *([packed.KNOWN] if self.has_triples else ()))
        files = {name: self.file(name) for name in wanted}
        try:
            graph = packed.unpack(self.manifest["data"]["name"], files, triples=self.has_triples)
        except DataError as error:
            raise UsageError(f"{self.place}: {error}; {DAMAGED}") from error
        sizes, data = self.manifest["model"], self.manifest["data"]
        expected = [sizes["num_entities"], sizes["num_relations"]]
        found = [graph.num_entities, graph.num_relations]
        if self.has_triples:
            expected += [data[split] for split in SPLITS]
            found += [len(getattr(graph, split)) for split in SPLITS]
        if found != expected:
            raise UsageError(
                f"{self.place}: expected {expected} entities, relations and triples of train, valid and test as in "
                f"{MANIFEST}, found {found}; {DAMAGED}"
            )
        return graph

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
    return place.is_file() or os.path.lexists(place / MANIFEST)


def read(place: Path) -> Bundle:
    """Read the manifest of a bundle and check all its files.

    Raises
    ------
    UsageError
        If the path is no bundle, the format is another one, a file differs from its checksum, or the sizes of names,
        weights and manifest differ.
    """
    with opened(place) as files:
        with files.open(MANIFEST) as stream:
            manifest = _manifest(place, stream.whole(contents.MOST_BYTES[MANIFEST]))
        for name, entry in manifest["files"].items():
            with files.open(name) as stream:
                if stream.size != entry["bytes"]:
                    raise _changed(place, name)
                _refuse_content(f"{place}/{name}", name, stream, manifest)
                if stream.digest() != entry["sha256"]:
                    raise _changed(place, name)
    return Bundle(place, manifest)


def names(place: Path) -> list[str]:
    """Names of all files in a folder or a zip, unchecked.

    Raises
    ------
    UsageError
        If it is a file, but not a zip.
    """
    with opened(place) as files:
        return files.names()


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
    whole = {MANIFEST: utf8(json.dumps(complete, indent=1, ensure_ascii=False) + "\n"), **files}
    if place.suffix != ".zip":
        with new_folder(place) as folder:
            for name, content in whole.items():
                write_atomically(folder / name, content)
        return
    refuse_existing(place)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in sorted(whole.items()):
            file.writestr(zipfile.ZipInfo(name, WHEN), content, zipfile.ZIP_DEFLATED, compresslevel=9)
    make_folder(place.parent)
    write_atomically(place, stream.getvalue(), new=True)


def _manifest(place: Path, content: bytes) -> dict[str, Any]:
    where = f"{place}/{MANIFEST}"
    manifest = schema.load(content, where, DAMAGED)
    form, checksum = manifest.get("format"), manifest.pop("checksum", None)
    if form != FORMAT:
        raise UsageError(
            f"{place}: expected format '{FORMAT}', found {schema.shown(form)}; it was written by another version of "
            "mulde; open it with that version, or pack the model again"
        )
    schema.check(manifest, where, contents.MANIFEST, DAMAGED)
    try:
        same = checksum == _checksum(manifest)
    except RecursionError:
        same = False
    if not same:
        raise UsageError(f"{place}: {MANIFEST} does not have its own checksum; {DAMAGED}")
    for name in manifest["files"]:
        if PureWindowsPath(name).name != name or name in ("", "..", MANIFEST) or not name.isprintable():
            raise UsageError(f"{where}: expected names of files, found {schema.shown(name)}; {DAMAGED}")
    required = [*contents.REQUIRED[manifest["kind"]], *([packed.KNOWN] if manifest.get("triples", True) else ())]
    if missing := [name for name in required if name not in manifest["files"]]:
        raise UsageError(f"{place}: expected {missing[0]} among its files, found none; {DAMAGED}")
    return manifest


def _refuse_content(where: str, name: str, stream: Checked, manifest: Mapping[str, Any]) -> None:
    """Refuse a file that is too large for its kind, is not UTF-8, or whose sizes are not those in the manifest.

    Names are counted while their file is read for its checksum; of weights, the header is read.
    """
    sizes = manifest["model"]
    lines = {packed.ENTITIES: sizes["num_entities"], packed.RELATIONS: sizes["num_relations"]}.get(name)
    most = contents.MOST_BYTES.get(name)
    if name in ("calibration.json", "ranking.json"):
        most = contents.most_of_numbers(sizes["num_relations"])
    if lines is not None:
        most = contents.most_of_names(lines)
    stream.refuse_above(most)
    if lines is not None and (found := sum(block.count(b"\n") for block in stream.blocks())) != lines:
        raise UsageError(f"{where}: expected {lines:,} names as in {MANIFEST}, found {found:,}; {DAMAGED}")
    if name in (CARD, NOTICE):
        try:
            stream.whole().decode()
        except UnicodeDecodeError as error:
            raise UsageError(f"{where}: expected text in UTF-8, but {error}; {DAMAGED}") from error
    if name in contents.JSON_FILES:
        schema.parse(stream.whole(), where, contents.JSON_FILES[name], DAMAGED)
    if name == WEIGHTS:
        refuse_other_sizes(read_header(stream, where), sizes, where)


def _changed(place: Path, name: str) -> UsageError:
    return UsageError(f"{place}: {name} does not match its checksum in {MANIFEST}; {DAMAGED}")


def _checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over the manifest without its checksum, as JSON with sorted keys."""
    return _digest(json.dumps(manifest, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
