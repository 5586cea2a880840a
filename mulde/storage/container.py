"""Bundles of any kind: one model with all it needs, in a folder or a zip, with a manifest of checksums.

The manifest, ``bundle.json``, holds ``format``, ``kind``, ``files`` (bytes and SHA-256 of every other file), its own
``checksum``, and what the kind of bundle adds. A bundle is checked whole before it is used, in pieces, with sizes
compared first; a zip is not extracted. Imports no torch.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from mulde import schema
from mulde.errors import UsageError
from mulde.files import make_folder, new_folder, refuse_existing, utf8, write_atomically
from mulde.schema.kinds import Kind
from mulde.storage.archive import DAMAGED, Checked, opened

MANIFEST, CARD, NOTICE, FORMAT = "bundle.json", "README.md", "NOTICE", "mulde bundle 2"
LARGEST_MANIFEST = 4 << 20  # bytes
WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: equal contents give equal bytes

Refuse = Callable[[str, str, Checked, Mapping[str, Any]], None]
"""Path and name of a file, its content, and the manifest; raises UsageError for content that does not fit."""


@dataclass(frozen=True)
class Contents:
    """What a kind of bundle contains."""

    manifest: Kind
    """Schema of the manifest."""
    required: Callable[[Mapping[str, Any]], Sequence[str]]
    """Names of the files that a manifest requires."""
    refuse: Refuse
    """Check of a file, before its checksum is compared."""


@dataclass(frozen=True)
class Container:
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
            raise UsageError(f"{self.place}: expected a bundle with {name}, found {found}{self.advice()}")
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
                raise changed(self.place, name)
        return content

    @property
    def names(self) -> dict[str, Any]:
        """Names of the files, with size and SHA-256 of each."""
        files: dict[str, Any] = self.manifest["files"]
        return files

    def advice(self) -> str:
        """What to do with a bundle that lacks a file."""
        return ""


def is_bundle(place: Path) -> bool:
    """Whether a path is a bundle: a file, or a folder with a manifest."""
    return place.is_file() or os.path.lexists(place / MANIFEST)


def read_manifest(place: Path) -> dict[str, Any]:
    """The manifest of a bundle of any kind, without a check of the files.

    Raises
    ------
    UsageError
        If the path is no bundle, or the manifest has another format or another checksum.
    """
    with opened(place) as files, files.open(MANIFEST) as stream:
        return _manifest(place, stream.whole(LARGEST_MANIFEST))


def read(place: Path, contents: Contents) -> dict[str, Any]:
    """Read the manifest of a bundle and check all its files.

    Raises
    ------
    UsageError
        If the path is no bundle, the format is another one, a file is missing, or differs from its checksum.
    """
    with opened(place) as files:
        with files.open(MANIFEST) as stream:
            manifest = _manifest(place, stream.whole(LARGEST_MANIFEST), contents)
        for name, entry in manifest["files"].items():
            with files.open(name) as stream:
                if stream.size != entry["bytes"]:
                    raise changed(place, name)
                if name in (CARD, NOTICE):
                    _refuse_no_text(f"{place}/{name}", stream)
                contents.refuse(f"{place}/{name}", name, stream, manifest)
                if stream.digest() != entry["sha256"]:
                    raise changed(place, name)
    return manifest


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
    complete["checksum"] = checksum_of(complete)
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


def _manifest(place: Path, content: bytes, contents: Contents | None = None) -> dict[str, Any]:
    where = f"{place}/{MANIFEST}"
    manifest = schema.load(content, where, DAMAGED)
    form, checksum = manifest.get("format"), manifest.pop("checksum", None)
    if form != FORMAT:
        raise UsageError(
            f"{place}: expected format '{FORMAT}', found {schema.shown(form)}; it was written by another version of "
            "mulde; open it with that version, or pack the model again"
        )
    if contents is not None:
        schema.check(manifest, where, contents.manifest, DAMAGED)
    try:
        same = checksum == checksum_of(manifest)
    except RecursionError:
        same = False
    if not same:
        raise UsageError(f"{place}: {MANIFEST} does not have its own checksum; {DAMAGED}")
    if contents is None:
        return manifest
    for name in manifest["files"]:
        if PureWindowsPath(name).name != name or name in ("", "..", MANIFEST) or not name.isprintable():
            raise UsageError(f"{where}: expected names of files, found {schema.shown(name)}; {DAMAGED}")
    if missing := [name for name in contents.required(manifest) if name not in manifest["files"]]:
        raise UsageError(f"{place}: expected {missing[0]} among its files, found none; {DAMAGED}")
    return manifest


def _refuse_no_text(where: str, stream: Checked) -> None:
    try:
        stream.whole(schema.SMALL).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: expected text in UTF-8, but {error}; {DAMAGED}") from error


def changed(place: Path, name: str) -> UsageError:
    """The error of a file that differs from its checksum."""
    return UsageError(f"{place}: {name} does not match its checksum in {MANIFEST}; {DAMAGED}")


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 over the manifest without its checksum, as JSON with sorted keys."""
    return _digest(json.dumps(manifest, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
