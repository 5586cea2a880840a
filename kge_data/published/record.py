"""What is known about a published graph: counts, checksum, where it comes from, whom to cite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """One file on the network.

    Attributes:
        url: a plain file, or a .tar.gz whose train.txt, valid.txt and test.txt are wanted.
        sha256: of the file as served; "" where only the graph's own checksum is known.
        name: what to call it in our folder; default: the end of the address.
    """

    url: str
    sha256: str = ""
    name: str = ""

    @property
    def file_name(self) -> str:
        return self.name or self.url.rpartition("/")[2]


@dataclass(frozen=True)
class PublishedSet:
    """A graph with a name. Each file in `kge_data/sets/` holds one of these as RECORD.

    Attributes:
        name: lower case with hyphens; its file in `sets/` is called alike, with underscores.
        folder: its folder below KGE_DATA_HOME.
        entities, relations, train, valid, test: the published counts, asserted at every load.
        checksum: `TripleSet.checksum`, asserted at every load.
        citation, licence: as found; not legal advice.
        package: installed package that brings the files, and the folder in it.
        mirrors: where to download the three splits, best first; each mirror is one or several files.
        texts: files with readable names; a graph is usable without them.
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
