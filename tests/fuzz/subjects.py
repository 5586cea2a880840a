"""Readers under test, each with a good file. A reader answers any bytes with a result or with an error for people."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

import kge_data
from kge_data.entity_files import read_types
from kge_data.errors import UsageError
from kge_data.printing import one_line
from mulde.config import Duration, from_dict, read
from mulde.kge.inference.query_files import count_and_digest, read_queries

FACTS = [(f"a{head}", f"r {head % 2}", f"é{(head + step) % 6}") for head in range(6) for step in range(4)]
RDF = "".join(f'<http://x/{h}> <http://x/{r[0]}> <http://x/{t}> .\n<u:{h}> <u:n> "é\\n"@en .\n' for h, r, t in FACTS)
TURTLE = (
    "@prefix x: <http://x/> .\n@base <http://y/> .\n"
    + "".join(f"x:{h} x:{r[0]} x:{t}, <{t}> ; a _:b .\n" for h, r, t in FACTS)
    + 'x:a x:r """a\nb""", 1.5e3, true .\n'
)  # fmt: skip
YAML = "# a\nscorer: &a roth\ndim: 8\nrate: 1e-3\nteacher: [a, *a]\nbudget: 10m\nfolder: runs\nstop: ~\nfast: true\n"
TOML = 'scorer = "roth"\ndim = 8\nrate = 1e-3\nteacher = ["a", "b"]\nbudget = "10m"\nfolder = "runs"\nfast = true\n'
Settings = make_dataclass(
    "Settings",
    [("scorer", str), ("dim", int), ("rate", float), ("teacher", tuple[str, ...], ()), ("budget", Duration, 1.0),
     ("folder", Path, Path()), ("stop", int | None, None), ("fast", bool, False)],
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A good file, and the reader that opens it."""

    name: str
    """Name of the file."""
    content: Callable[[], bytes]
    """Makes its bytes."""
    read: Callable[[Path], object]
    """Reads the file to its end."""
    packed: Callable[[bytes], bytes] | None = None
    """Compresses the bytes after they have been changed."""


def answer(subject: Subject, content: bytes, folder: Path) -> object:
    """What the reader returns for changed bytes, or its error.

    Raises
    ------
    AssertionError
        If the error does not name the file, or has control characters.
    """
    path = folder / subject.name
    path.write_bytes(subject.packed(content) if subject.packed else content)
    with warnings.catch_warnings(action="ignore"):
        try:
            return subject.read(path)
        except UsageError as error:
            assert path.name.split(".")[0] in str(error), str(error)
            assert str(error) == one_line(str(error)), repr(str(error))
            return error


def _table(comma: str) -> bytes:
    return "".join(comma.join(row) + "\n" for row in [("head", "relation", "tail"), *FACTS]).encode()


def _parquet() -> bytes:
    import pyarrow as arrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    columns = dict(zip(("head", "relation", "tail"), map(list, zip(*FACTS, strict=True)), strict=True))
    parquet.write_table(arrow.table({**columns, "weight": [0.5] * len(FACTS)}), buffer)
    return buffer.getvalue()


def _zst(content: bytes) -> bytes:
    import zstandard

    return bytes(zstandard.compress(content))


def _in_folder(path: Path) -> kge_data.TripleSet:
    """The graph in a folder whose file of names is the changed one."""
    for split in ("train", "valid", "test"):
        (path.parent / f"{split}.tsv").write_bytes(_table("\t"))
    return kge_data.load(path.parent)


def _settings(path: Path) -> Any:
    return from_dict(Settings, read(path), str(path))


def _types(path: Path) -> object:
    return read_types(path, kge_data.from_triples([(head, relation, tail) for head, relation, tail in FACTS]))


def _queries(path: Path) -> int:
    count_and_digest(path)
    return sum(len(rows) for rows in read_queries(path, 7))


SUBJECTS = [
    Subject("graph.tsv", lambda: _table("\t"), kge_data.load),
    Subject("graph.csv", lambda: _table(","), kge_data.load),
    Subject("graph.nt", RDF.encode, kge_data.load),
    Subject("graph.ttl", TURTLE.encode, kge_data.load),
    Subject("graph.parquet", _parquet, kge_data.load),
    Subject("graph.tsv.gz", lambda: _table("\t"), kge_data.load, gzip.compress),
    Subject("graph.csv.gz", lambda: gzip.compress(_table(",")), kge_data.load),
    Subject("graph.csv.zst", lambda: _table(","), kge_data.load, _zst),
    Subject("graph.nt.zst", lambda: _zst(RDF.encode()), kge_data.load),
    Subject("graph.parquet.gz", _parquet, kge_data.load, gzip.compress),
    Subject("entity2text.txt", lambda: b"a1\tAnna\na2\tBert\n\xc3\xa93\t\xc3\xa9\n", _in_folder),
    Subject("entities_en.json", lambda: b'{"a1": {"label": "Anna", "x": 1}, "\\u00e93": {"label": null}}', _in_folder),
    Subject("queries.tsv", lambda: _table("\t"), _queries),
    Subject("queries.csv", lambda: _table(",").replace(b"a1,", b"?,"), _queries),
    Subject("queries.parquet", _parquet, _queries),
    Subject("types.tsv", lambda: b"a1\tcity\na2\tcity\n\xc3\xa93\triver\n", _types),
    Subject("settings.yaml", YAML.encode, _settings),
    Subject("settings.toml", TOML.encode, _settings),
]
