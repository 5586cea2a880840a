"""Tab-separated text (.txt, .tsv).

A line is a triple in UTF-8. Labels stay text and keep their blanks: "001" and "1" differ, and "NA" is a label. Lines
end with LF or CRLF. Empty lines are skipped, and blank lines and comments (#) at the beginning. An error names file
and line. Files are read in blocks: memory grows with the number of triples and of different labels, not with the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from kge_data.formats._encoding import opened_text
from kge_data.formats._reading import check_fields, first_wrong_byte, is_preamble, not_utf8
from kge_data.layout import Layout
from kge_data.numbering import Columns

ENDINGS = (".txt", ".tsv")
BYTES_PER_BLOCK = 1 << 22
TAB, LINE_FEED = b"\t\n"


def first_row(path: Path) -> list[str]:
    """The fields of the first line that is neither blank nor a comment."""
    with opened_text(path) as stream:
        line = _first_line(stream, path)[1].rstrip(b"\r\n")
    return _fields(line) if line else []


def read(path: Path, layout: Layout) -> Iterator[Columns]:
    """The triples of a file, block by block."""
    with opened_text(path) as stream:
        line_number, line = _first_line(stream, path)
        if layout.names:
            line_number, line = line_number + 1, b""
        for block in _whole_lines(stream, line):
            block = block.replace(b"\r\n", b"\n")
            regular = _is_regular(block, layout.width)
            yield _split_at_once(block, layout) if regular else _split_line_by_line(block, layout, path, line_number)
            line_number += block.count(b"\n")


def _first_line(stream: IO[bytes], path: Path) -> tuple[int, bytes]:
    """Number and bytes of the first line that is neither blank nor a comment; no bytes if there is none."""
    number = 1
    for number, line in enumerate(stream, 1):
        if not is_preamble(_fields(line), number, path):
            return number, line
    return number, b""


def _fields(line: bytes) -> list[str]:
    return line.rstrip(b"\r\n").decode(errors="replace").split("\t")


def _whole_lines(stream: IO[bytes], rest: bytes) -> Iterator[bytes]:
    """Pieces of the file that end with a line feed, after `rest`; it is added to the last line if it is missing."""
    while piece := stream.read(BYTES_PER_BLOCK):
        end = piece.rfind(b"\n") + 1
        if end:
            yield rest + piece[:end]
            rest = piece[end:]
        else:
            rest += piece
    if rest:
        yield rest + b"\n"


def _is_regular(block: bytes, width: int) -> bool:
    """Whether a block is UTF-8 with this number of non-empty fields on every line."""
    text = np.frombuffer(block, dtype=np.uint8)
    separators = np.flatnonzero((text == TAB) | (text == LINE_FEED))
    if len(separators) % width or block.startswith(b"\t") or np.any(np.diff(separators) == 1):
        return False
    if np.any(text[separators].reshape(-1, width) != (*[TAB] * (width - 1), LINE_FEED)):
        return False
    return first_wrong_byte(block) is None


def _split_at_once(block: bytes, layout: Layout) -> Columns:
    fields = block.decode().replace("\n", "\t").split("\t")
    heads, relations, tails = (fields[place : -1 : layout.width] for place in layout.places)
    return heads, relations, tails


def _split_line_by_line(block: bytes, layout: Layout, path: Path, first: int) -> Columns:
    """For blocks with empty or wrong lines or fields (slower). Raises DataError for the first that is not a triple."""
    triples: list[list[str]] = []
    for line_number, line in enumerate(block.split(b"\n"), first):
        if not line:
            continue
        if (wrong := first_wrong_byte(line)) is not None:
            raise not_utf8(path, line_number, line, wrong)
        fields = line.decode().split("\t")
        check_fields(fields, layout, path, line_number, line, "tab")
        triples.append([fields[place] for place in layout.places])
    heads, relations, tails = map(list, zip(*triples, strict=True)) if triples else ([], [], [])
    return heads, relations, tails
