"""Loading of a graph by name or path."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from kge_data.cache import cached, directory
from kge_data.columns import Choice
from kge_data.errors import DataError
from kge_data.files import user_path
from kge_data.formats._folder import How, files_of, open_file, open_folder
from kge_data.published import catalogue
from kge_data.published.fetching import fetch
from kge_data.published.record import PublishedSet
from kge_data.tripleset import TripleSet

COUNTS = ("entities", "relations", "train", "valid", "test")


def load(
    name_or_path: str | os.PathLike[str] | PublishedSet,
    *,
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    download: bool = True,
    columns: Choice | None = None,
    normalize: bool = False,
    base: str | None = None,
) -> TripleSet:
    """A knowledge graph by name, folder or file.

    Parameters
    ----------
    name_or_path
        A name that `names()` lists, a folder with train, valid and test, a single file of triples, or a record of your
        own. A name takes precedence over a path: write "./umls" for a folder of that name.
    root
        Where to look for published graphs before KGE_DATA_HOME: a folder with folders such as FB15k-237.
    seed
        Seed of the split; for a single file only.
    download
        Whether a published graph may be downloaded if it is not on this machine.
    columns
        Columns with head, relation and tail in tables of your own: names in the first line, such as
        ("from", "kind", "to") or "from,kind,to", or positions from 1. By default, columns are found by their names
        (see `kge_data.columns`); a table without a header has three, in this order.
    normalize
        Remove outer and repeated blanks and enclosing quotes from labels, and compose characters (Unicode's form NFC).
        Labels that become equal are merged. For files of your own.
    base
        Absolute IRI that relative IRIs in RDF files of your own are resolved against, such as "http://example.org/".

    Returns
    -------
    TripleSet
        The graph; its ids follow the ascending order of the identifiers, and its `reading` says how your own files were
        read.

    Raises
    ------
    UnknownName
        If it is neither a name nor a path.
    DataError
        If files are missing or damaged, or are not those of the published graph.
    """
    how = How(columns, normalize, base)
    if isinstance(name_or_path, PublishedSet):
        return _published(name_or_path, root, download, how)
    text = os.fspath(name_or_path)
    path = user_path(text)
    if not isinstance(name_or_path, Path) and catalogue.has(text):
        return _published(catalogue.record(text), root, download, how)
    if path.is_dir():
        name = path.resolve().name
        return cached(name, files_of(path), f"folder {how.given()}", lambda: open_folder(path, name, how))
    if path.is_file():
        name = path.name.partition(".")[0] or path.name
        return cached(name, [path], f"seed {seed} {how.given()}", lambda: open_file(path, name, seed, how))
    if len(path.parts) > 1 or path.suffix:
        raise DataError(
            f"{path}: no such file or folder; check the path, or give a name from `python -m kge_data list`."
        )
    raise catalogue.unknown(text)


def folder_of(name_or_path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder of the files that `load` reads for a name or path; None if they are not on this machine."""
    text = os.fspath(name_or_path)
    path = user_path(text)
    if not isinstance(name_or_path, Path) and catalogue.has(text):
        record = catalogue.record(text)
        return catalogue.local_folder(record, root) or _downloaded(record)
    return path if path.is_dir() else path.parent if path.is_file() else None


def _downloaded(record: PublishedSet) -> Path | None:
    """The folder of an earlier download; None if there is none."""
    try:
        folder = directory() / "downloads" / record.folder
    except DataError:  # no home directory
        return None
    return folder if folder.is_dir() else None


def _published(record: PublishedSet, root: str | os.PathLike[str] | None, download: bool, how: How) -> TripleSet:
    if how.given():
        raise DataError(
            f"{record.name}: a published graph is read as it is; leave out columns, normalize and base, or give the "
            "path of its folder."
        )
    folder = catalogue.local_folder(record, root)
    if folder is None:
        folder = directory() / "downloads" / record.folder
        if not folder.is_dir():
            if not download or not record.mirrors:
                raise DataError(_where_to_put(record))
            fetch(record, folder, lambda found: _verified(open_folder(found, record.name), record, found))

    def build() -> TripleSet:
        return replace(open_folder(folder, record.name), reading=None)

    return _verified(cached(record.name, files_of(folder), "published", build), record, folder)


def _verified(triples: TripleSet, record: PublishedSet, folder: Path) -> TripleSet:
    """The graph, if it is the published one. Raises DataError otherwise."""
    sizes = (
        triples.num_entities,
        triples.num_relations,
        len(triples.train),
        len(triples.valid),
        len(triples.test),
    )
    for kind, found in zip(COUNTS, sizes, strict=True):
        expected = getattr(record, kind)
        if found != expected:
            what = kind if kind in ("entities", "relations") else f"{kind} triples"
            raise DataError(
                f"{folder}: {record.name} has {expected:,} {what}, here are {found:,}; the files are incomplete or of "
                f"another version. Replace them, or load the folder by its path to use them as they are."
            )
    if triples.checksum != record.checksum:
        raise DataError(
            f"{folder}: the counts are those of {record.name}, but the triples are others "
            f"(checksum {triples.checksum}, published {record.checksum}). Replace the files, or "
            f"load the folder by its path to use them as they are."
        )
    return triples


def _where_to_put(record: PublishedSet) -> str:
    if record.package:
        return (
            f"{record.name}: is part of the package {record.package[0]}, which is not installed; "
            f"`pip install {record.package[0]}`, or put its files into a folder {record.folder} below KGE_DATA_HOME."
        )
    return (
        f"{record.name}: not found and not downloaded; put train.txt, valid.txt and test.txt into a folder "
        f"{record.folder}, and set KGE_DATA_HOME to the folder that contains it."
    )
