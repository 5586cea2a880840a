"""Sentences for RDF files that are not well-formed: file, line, column, and what is there."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from kge_data.errors import DataError
from kge_data.formats._encoding import opened_text
from kge_data.formats._reading import first_wrong_byte, not_utf8, quoted

SHOWN = 120  # characters of a line
LONGEST = 1 << 20  # bytes of a line that are held
ADVICE = {
    "N-Triples": "Expected `<head> <relation> <tail> .`",
    "Turtle": "Correct it; the cause may be before it.",
}


def malformed(path: Path, grammar: str, error: SyntaxError) -> DataError:
    """The error for a file.

    Parameters
    ----------
    path
        The file.
    grammar
        "N-Triples" or "Turtle".
    error
        The error of pyoxigraph, with line and column from 1.
    """
    reason = error.msg.partition(": ")[2]
    if reason.startswith("Invalid UTF-8"):
        return _wrong_bytes(path)
    line_number, line = _line(path, error.lineno or 1)
    text = line.decode(errors="replace")
    column = (error.offset or 1) if line_number == error.lineno else len(text) + 1
    start = max(0, min(column - SHOWN // 2, len(text) - SHOWN))
    shown = quoted(text[start : start + SHOWN].encode())
    where = f"{path}, line {line_number}, column {column}"
    if reason.startswith("No scheme found"):
        return DataError(
            f"{where}: a relative IRI without a base: {shown}. Write it in full, or pass --base IRI (base= in Python)."
        )
    why = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in reason[:SHOWN])
    return DataError(f"{where}: not {grammar} ({why}): {shown}. {ADVICE[grammar]}")


def _wrong_bytes(path: Path) -> DataError:
    with opened_text(path, lines=False) as stream:
        number = 1
        while piece := stream.readline(LONGEST):
            wrong = first_wrong_byte(piece)
            if wrong is not None and (wrong < len(piece) - 3 or piece.endswith(b"\n")):  # not a character cut in two
                return not_utf8(path, number, piece.rstrip(b"\r\n"), wrong)
            number += piece.endswith(b"\n")
    return DataError(f"{path}: not valid UTF-8; save the file as UTF-8.")  # it has changed in the meantime


def _line(path: Path, number: int) -> tuple[int, bytes]:
    """The last line up to this one that is not blank, with its number: the end of a file that ends too early.

    Of a long line, only the beginning.
    """
    found = 1, b""
    with opened_text(path, lines=False) as stream:
        for each in range(1, number + 1):
            if not (line := _beginning(stream)):
                break
            if line.strip():
                found = each, line.rstrip(b"\r\n")
    return found


def _beginning(stream: IO[bytes]) -> bytes:
    """The beginning of the next line, which is read to its end."""
    beginning = rest = stream.readline(LONGEST)
    while rest and not rest.endswith(b"\n"):
        rest = stream.readline(LONGEST)
    return beginning
