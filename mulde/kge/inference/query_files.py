"""Files of queries, read in blocks.

A row is a triple. If one part is missing, empty or "?", that part is predicted; a whole triple is scored. A file with
the single column ``entity`` lists entities whose neighbours are predicted. Formats are CSV (RFC 4180), tab-separated
text and Parquet, the first two also with .gz or .zst. The first line may name the columns: head, relation and tail (or
subject, predicate and object) in any order; at least two of them. Without names there are three columns, in that order.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from kge_data.errors import DataError
from kge_data.formats._compressed import ending, opened
from mulde.errors import MissingExtra, UsageError

PARTS = ("head", "relation", "tail")
OTHER_NAMES = {"subject": "head", "predicate": "relation", "object": "tail"}
ENDINGS = (".csv", ".tsv", ".txt", ".parquet")


@dataclass(frozen=True)
class Rows:
    """Some rows of a file: text by column ("" for a missing part), and the error of each row, or ""."""

    columns: dict[str, list[str]]
    errors: list[str]

    def __len__(self) -> int:
        return len(self.errors)


def count_and_digest(path: Path) -> tuple[int, str]:
    """Approximate number of rows (lines, or rows of a Parquet file), and the SHA-256 of the file's content."""
    lines, digest = 0, hashlib.sha256()
    with opened(path) as stream:
        while piece := stream.read(1 << 20):
            lines += piece.count(b"\n")
            digest.update(piece)
    if ending(path) == ".parquet":
        lines = _parquet(path).metadata.num_rows
    return lines, digest.hexdigest()


def columns_of(path: Path) -> tuple[str, ...]:
    """Columns of a file: ("entity",), or two or three of head, relation, tail. Raises UsageError for others."""
    if ending(path) == ".parquet":
        return _named(_parquet(path).schema_arrow.names, path)
    if ending(path) not in ENDINGS:
        raise UsageError(f"{path}: expected a file of queries that ends in {', '.join(ENDINGS)}; rename it")
    with _text(path) as text:
        first = next(_rows(text, path), [])
    if not first:
        raise UsageError(f"{path}: holds no query; check that it is the right file")
    if _is_header(first):
        return _named(first, path)
    if len(first) != 3:
        raise UsageError(
            f"{path}: expected three columns, or a first line that names them (head, relation, tail or some of these, "
            f"or entity); found {', '.join(map(repr, first))}"
        )
    return PARTS


def read_queries(path: Path, size: int) -> Iterator[Rows]:
    """Yield the rows of a file, ``size`` at a time."""
    columns = columns_of(path)
    if ending(path) == ".parquet":
        yield from _read_parquet(path, columns, size)
        return
    with _text(path) as text:
        rows = _rows(text, path)
        first = next(rows)
        if not _is_header(first):
            rows = chain([first], rows)
        while block := list(islice(rows, size)):
            errors = ["" if len(row) == len(columns) else _wrong_width(row, columns) for row in block]
            if any(errors):
                block = [[*row, "", "", ""][: len(columns)] for row in block]
            texts = map(list, zip(*block, strict=True))
            yield Rows(dict(zip(columns, (_missing(text) for text in texts), strict=True)), errors)


def _wrong_width(row: Sequence[str], columns: Sequence[str]) -> str:
    return f"expected {len(columns)} fields ({', '.join(columns)}), found {len(row)}"


def _missing(texts: list[str]) -> list[str]:
    return ["" if text == "?" else text for text in texts]


def _is_header(row: Sequence[str]) -> bool:
    known = {*PARTS, *OTHER_NAMES, "entity"}
    return bool(row) and all(name.strip().casefold() in known for name in row)


def _named(names: Sequence[str], path: Path) -> tuple[str, ...]:
    plain = [name.strip().casefold() for name in names]
    columns = tuple(OTHER_NAMES.get(name, name) for name in plain)
    if columns != ("entity",) and (len(set(columns)) < max(2, len(columns)) or not set(columns) <= set(PARTS)):
        raise UsageError(
            f"{path}: expected at least two of the columns head, relation and tail, each once, or the column entity; "
            f"found {', '.join(names)}"
        )
    return columns


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOWrapper]:
    """A decompressed text file; bytes that are not UTF-8 become backslash sequences, which match no name."""
    with opened(path) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8-sig", errors="backslashreplace", newline="")


def _rows(text: io.TextIOWrapper, path: Path) -> Iterator[list[str]]:
    """Rows, without empty lines."""
    if ending(path) != ".csv":
        for line in text:
            if line := line.rstrip("\r\n"):
                yield line.split("\t")
        return
    reader = csv.reader(text, strict=True)
    try:
        for row in reader:
            if row:
                yield row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not proper CSV ({error}); check the quotes there.") from error


def _parquet(path: Path) -> Any:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra(
            f"{path}: Parquet needs the package pyarrow; `pip install mulde[parquet]`, or use CSV"
        ) from None
    try:
        return parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise DataError(f"{path}: not a complete Parquet file ({error}); write or copy it again.") from error


def _read_parquet(path: Path, columns: tuple[str, ...], size: int) -> Iterator[Rows]:
    import pyarrow as arrow

    pending: dict[str, list[str]] = {name: [] for name in columns}
    for batch in _parquet(path).iter_batches(size):
        for name, column in zip(columns, batch.columns, strict=True):
            try:
                texts = column.cast(arrow.string()).to_pylist()
            except arrow.ArrowInvalid as error:
                raise DataError(f"{path}: column {name} holds {column.type}; expected text. Convert it.") from error
            pending[name] += _missing([text or "" for text in texts])
        while len(pending[columns[0]]) >= size:  # unlike batches, blocks cross row groups
            yield Rows({name: texts[:size] for name, texts in pending.items()}, [""] * size)
            pending = {name: texts[size:] for name, texts in pending.items()}
    if rest := len(pending[columns[0]]):
        yield Rows(pending, [""] * rest)
