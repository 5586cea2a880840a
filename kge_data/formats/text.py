"""Tab-separated (.txt, .tsv) and comma-separated (.csv) text.

Tab-separated files are `head<TAB>relation<TAB>tail` in UTF-8; comma-separated files follow RFC 4180. Either may begin
with the header head, relation, tail or subject, predicate, object, which is skipped. Labels stay text: "001" and "1"
differ, and "NA" is a label. Lines end with LF or CRLF, and empty lines are skipped. An error names file and line.
Files are read in blocks: memory grows with the number of triples and of different labels, not with the text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from kge_data.errors import DataError
from kge_data.formats._compressed import ending, opened
from kge_data.formats._reading import ROWS_PER_BLOCK, first_wrong_byte, not_utf8, quoted
from kge_data.numbering import Columns
from kge_data.tripleset import FIELDS, HEADERS

ENDINGS = (".txt", ".tsv", ".csv")
BYTES_PER_BLOCK = 1 << 22
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some editors begin a file with it
TAB, LINE_FEED = b"\t\n"


def read(path: Path, names: dict[str, str]) -> Iterator[Columns]:
    """The triples of a file, block by block; such files hold no readable names."""
    return comma_separated(path) if ending(path) == ".csv" else tab_separated(path)


def tab_separated(path: Path) -> Iterator[Columns]:
    """The triples of a tab-separated file, block by block."""
    line_number = 1
    with opened(path) as stream:
        for block in _whole_lines(stream):
            block = block.replace(b"\r\n", b"\n")
            if line_number == 1:
                block = block.removeprefix(BYTE_ORDER_MARK)
                first, _, rest = block.partition(b"\n")
                if is_header(first.decode(errors="replace").split("\t")):
                    block, line_number = rest, 2
            yield (_split_at_once(block) if _is_regular(block) else _split_line_by_line(block, path, line_number))
            line_number += block.count(b"\n")


def comma_separated(path: Path) -> Iterator[Columns]:
    """The triples of a comma-separated file, block by block."""
    with opened(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        rows = _rows(text, path)
        while block := list(islice(rows, ROWS_PER_BLOCK)):
            heads, kinds, tails = map(list, zip(*block, strict=True))
            yield heads, kinds, tails


def _whole_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Pieces of the file that end with a line feed, which is added to the last line if it is missing."""
    rest = b""
    while piece := stream.read(BYTES_PER_BLOCK):
        end = piece.rfind(b"\n") + 1
        if end:
            yield rest + piece[:end]
            rest = piece[end:]
        else:
            rest += piece
    if rest:
        yield rest + b"\n"


def is_header(fields: Sequence[str]) -> bool:
    """Whether the fields of a first line are a header."""
    return tuple(field.strip().casefold() for field in fields) in HEADERS


def _is_regular(block: bytes) -> bool:
    """Whether a block is UTF-8 with three non-empty labels on every line."""
    text = np.frombuffer(block, dtype=np.uint8)
    separators = np.flatnonzero((text == TAB) | (text == LINE_FEED))
    if len(separators) % 3 or block.startswith(b"\t") or np.any(np.diff(separators) == 1):
        return False
    if np.any(text[separators].reshape(-1, 3) != (TAB, TAB, LINE_FEED)):
        return False
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _split_at_once(block: bytes) -> Columns:
    labels = block.decode().replace("\n", "\t").split("\t")
    return labels[0:-1:3], labels[1:-1:3], labels[2:-1:3]


def _split_line_by_line(block: bytes, path: Path, first: int) -> Columns:
    """For blocks with empty or wrong lines (slower). Raises DataError for the first line that is not a triple."""
    triples: list[list[str]] = []
    for line_number, line in enumerate(block.split(b"\n"), first):
        if not line:
            continue
        if (wrong := first_wrong_byte(line)) is not None:
            raise not_utf8(path, line_number, line, wrong)
        labels = line.decode().split("\t")
        _check(labels, path, line_number, line, "tab")
        triples.append(labels)
    heads, kinds, tails = map(list, zip(*triples, strict=True)) if triples else ([], [], [])
    return heads, kinds, tails


def _rows(text: io.TextIOWrapper, path: Path) -> Iterator[list[str]]:
    """The records, each of which may span several lines; an error names the first line of the record."""
    reader = csv.reader(text, strict=True)
    begins = 1
    try:
        for row in reader:
            if begins == 1 and is_header(row):
                pass
            elif row:
                if len(row) != 3 or not all(row):
                    _check(row, path, begins, _line(path, begins), "comma")
                yield row
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


def _lines(path: Path) -> Iterator[bytes]:
    """The lines as csv.reader counts them, for messages."""
    with opened(path) as stream, io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="") as text:
        for line in text:
            yield line.encode(errors="surrogateescape").removeprefix(BYTE_ORDER_MARK).rstrip(b"\r\n")


def _line(path: Path, line_number: int) -> bytes:
    return next(islice(_lines(path), line_number - 1, None), b"")


def _check(labels: list[str], path: Path, line_number: int, line: bytes, separator: str) -> None:
    where = f"{path}, line {line_number}"
    if len(labels) != 3:
        raise DataError(
            f"{where}: expected 3 {separator}-separated fields (head, relation, tail), found {len(labels)}: "
            f"{quoted(line)}. {_advice(line.decode(), separator)}"
        )
    if not all(labels):
        raise DataError(
            f"{where}: the {FIELDS[labels.index('')]} is empty: {quoted(line)}. Give it a label or remove the line."
        )


def _advice(line: str, separator: str) -> str:
    if separator == "tab" and line.count(",") >= 2:
        return "It looks comma-separated: rename the file to .csv."
    if separator == "tab" and "\t" not in line and len(line.split()) == 3:
        return "Its fields are separated by spaces: replace them by tabs."
    if separator == "comma" and line.count("\t") == 2:
        return "It looks tab-separated: rename the file to .tsv."
    if separator == "comma" and line.count(";") == 2:
        return "Its fields are separated by semicolons: replace them by commas."
    return "Correct or remove the line; if it is the last one, the file may be cut off."
