"""Comma-separated text (.csv), as RFC 4180 describes it.

Blanks after a comma are skipped, before quotes, too, as by `skipinitialspace` of Python's csv and pandas; blanks inside
quotes and before a comma belong to the label. Labels stay text. Empty lines are skipped, and blank lines and comments
(#) at the beginning. An error names file and line. Files are read in blocks.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from kge_data.errors import DataError
from kge_data.formats._encoding import opened_text
from kge_data.formats._reading import ROWS_PER_BLOCK, check_fields, first_wrong_byte, is_preamble, not_utf8, quoted
from kge_data.layout import Layout
from kge_data.numbering import Columns

ENDINGS = (".csv",)
LINES_PER_RECORD = 10_000


def first_row(path: Path) -> list[str]:
    """The fields of the first record."""
    return next(rows(path), (1, []))[1]


def read(path: Path, layout: Layout) -> Iterator[Columns]:
    """The triples of a file, block by block."""
    triples = _triples(path, layout)
    while block := list(islice(triples, ROWS_PER_BLOCK)):
        heads, relations, tails = map(list, zip(*block, strict=True))
        yield heads, relations, tails


def rows(path: Path, errors: str = "strict") -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with the number of its first line; without comments at the beginning.

    Raises
    ------
    DataError
        For a record that is not proper CSV, and for bytes that are not UTF-8 unless `errors` says how to decode them.
    """
    begins, before = 1, True

    def lines() -> Iterator[str]:
        """The lines of the file, as many as a record may have."""
        for number, line in enumerate(text, 1):
            if number - begins > LINES_PER_RECORD:
                raise DataError(
                    f"{path}, line {begins}: a record of over {LINES_PER_RECORD:,} lines; check its quotes."
                )
            yield line

    try:
        with opened_text(path) as stream, io.TextIOWrapper(stream, "utf-8", errors, newline="") as text:
            reader = csv.reader(lines(), strict=True, skipinitialspace=True)
            for row in reader:
                before = before and is_preamble(row, begins, path)
                if row and not before:
                    yield begins, row
                begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {begins}: not proper CSV ({error}): {quoted(_line(path, begins))}. Check the quotes there."
        ) from error
    except UnicodeDecodeError as error:
        for line_number, line in enumerate(_lines(path), 1):
            if (wrong := first_wrong_byte(line)) is not None:
                raise not_utf8(path, line_number, line, wrong) from error
        raise  # the file was changed in the meantime


def _triples(path: Path, layout: Layout) -> Iterator[tuple[str, str, str]]:
    head, relation, tail = layout.places
    for line_number, row in islice(rows(path), 1 if layout.names else 0, None):
        if len(row) != layout.width or not (row[head] and row[relation] and row[tail]):
            check_fields(row, layout, path, line_number, _line(path, line_number), "comma")
        yield row[head], row[relation], row[tail]


def _lines(path: Path) -> Iterator[bytes]:
    """The lines as csv.reader counts them, for messages."""
    with opened_text(path) as stream, io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="") as text:
        for line in text:
            yield line.encode(errors="surrogateescape").rstrip(b"\r\n")


def _line(path: Path, line_number: int) -> bytes:
    return next(islice(_lines(path), line_number - 1, None), b"")


def written(rows: Iterable[Iterable[Any]], delimiter: str = ",") -> str:
    """Rows as CSV, or as tab-separated text with the same quotes; None is an empty field.

    Fields with quotes, delimiters, line feeds or carriage returns are quoted, so that `csv` and pandas read them back.
    """
    lines = _Lines()
    csv.writer(lines, delimiter=delimiter).writerows(rows)  # quotes both characters of its line end, which is CR LF
    return "".join(f"{line[:-2]}\n" for line in lines)


class _Lines(list[str]):
    write = list.append
