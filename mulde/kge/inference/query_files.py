"""Files of queries, read in blocks.

A row is a triple. If one part is missing, empty or "?", that part is predicted; a whole triple is scored. A file with
the column ``entity`` lists entities whose neighbours are predicted. Formats are CSV, tab-separated text and Parquet, as
for graphs, the first two also with .gz or .zst. The first line may name the columns, at least two of head, relation and
tail, with the names that `kge_data.columns` knows; other columns are ignored. Without names there are three columns, in
that order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from kge_data.columns import Choice
from kge_data.formats import csv, parquet
from kge_data.formats._compressed import ending, opened
from kge_data.formats._encoding import opened_text
from kge_data.formats._reading import is_preamble
from mulde.errors import UsageError
from mulde.kge.inference.query_columns import QueryLayout, layout_of

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
        lines = parquet.num_rows(path)
    return lines, digest.hexdigest()


def columns_of(path: Path, columns: Choice | None = None) -> tuple[str, ...]:
    """Columns of a file: ("entity",), or two or three of head, relation, tail.

    Raises
    ------
    UsageError
        For others.
    """
    return _layout(path, columns).parts


def read_queries(path: Path, size: int, columns: Choice | None = None) -> Iterator[Rows]:
    """Yield the rows of a file, ``size`` at a time.

    Parameters
    ----------
    columns
        Head, relation, tail; "" for a missing one.
    """
    layout = _layout(path, columns)
    if ending(path) == ".parquet":
        yield from _read_parquet(path, layout, size)
        return
    rows = islice(_rows(path), 1 if layout.header else 0, None)
    while block := list(islice(rows, size)):
        errors = ["" if len(row) == layout.width else layout.wrong(row) for row in block]
        if any(errors):
            block = [[*row, *[""] * layout.width][: layout.width] for row in block]
        texts = list(map(list, zip(*block, strict=True)))
        parts = {part: _missing(texts[place]) for part, place in zip(layout.parts, layout.places, strict=True)}
        yield Rows(parts, errors)


def _layout(path: Path, columns: Choice | None) -> QueryLayout:
    if ending(path) not in ENDINGS:
        raise UsageError(f"{path}: expected a file of queries that ends in {', '.join(ENDINGS)}; rename it")
    if ending(path) == ".parquet":
        return replace(layout_of(parquet.first_row(path), str(path), columns), header=True)
    return layout_of(next(_rows(path), []), str(path), columns)


def _missing(texts: list[str]) -> list[str]:
    return ["" if text == "?" else text for text in texts]


def _rows(path: Path) -> Iterator[list[str]]:
    """Rows, without empty lines; bytes that are not UTF-8 become backslash sequences, which match no name."""
    if ending(path) == ".csv":
        yield from (row for _, row in csv.rows(path, "backslashreplace"))
        return
    with opened_text(path) as stream:
        before = True
        for number, each in enumerate(stream, 1):
            fields = each.rstrip(b"\r\n").decode(errors="backslashreplace").split("\t")
            before = before and is_preamble(fields, number, path)
            if fields != [""] and not before:
                yield fields


def _read_parquet(path: Path, layout: QueryLayout, size: int) -> Iterator[Rows]:
    pending: dict[str, list[str]] = {part: [] for part in layout.parts}
    for columns in parquet.read_columns(path, layout.places, size, floats=True):
        for part, texts in zip(layout.parts, columns, strict=True):
            pending[part] += _missing([text or "" for text in texts])
        while len(pending[layout.parts[0]]) >= size:  # unlike batches, blocks cross row groups
            yield Rows({part: texts[:size] for part, texts in pending.items()}, [""] * size)
            pending = {part: texts[size:] for part, texts in pending.items()}
    if rest := len(pending[layout.parts[0]]):
        yield Rows(pending, [""] * rest)
