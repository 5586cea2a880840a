"""The record of a published graph: counts, checksum, sources and citation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """One file to download.

    Attributes
    ----------
    url
        A plain file, or a .tar.gz with train.txt, valid.txt and test.txt.
    sha256
        Checksum of the file; "" if only the graph's checksum is known.
    name
        Local file name; by default the end of the URL.
    """

    url: str
    sha256: str = ""
    name: str = ""

    @property
    def file_name(self) -> str:
        return self.name or self.url.rpartition("/")[2]


@dataclass(frozen=True)
class PublishedSet:
    """A published graph. Each file in `kge_data/sets/` defines one as RECORD.

    Attributes
    ----------
    name
        Lower case with hyphens; its file in `sets/` has the same name with underscores.
    folder
        Its folder below KGE_DATA_HOME.
    entities, relations, train, valid, test
        The published counts, checked at every load.
    checksum
        `TripleSet.checksum`, checked at every load.
    citation, licence
        As published; not legal advice.
    package
        The package that contains the files, and the folder in it.
    mirrors
        Sources of the three splits, best first; each mirror is one or several files.
    texts
        Files with readable names; optional.
    """

    name: str
    folder: str
    entities: int
    relations: int
    train: int
    valid: int
    test: int
    checksum: str
    citation: str
    licence: str
    package: tuple[str, str] | None = None
    mirrors: tuple[tuple[Download, ...], ...] = ()
    texts: tuple[Download, ...] = ()
