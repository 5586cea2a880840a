"""What the readers of all text formats share: messages about a line of a file."""

from __future__ import annotations

from pathlib import Path

from kge_data.errors import DataError

ROWS_PER_BLOCK = 1 << 16  # triples that a reader returns at once


def first_wrong_byte(line: bytes) -> int | None:
    """Position of the first byte that is not UTF-8; None if there is none."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def not_utf8(path: Path, line_number: int, line: bytes, wrong: int) -> DataError:
    """The error for a line whose byte at position `wrong` is not UTF-8."""
    return DataError(
        f"{path}, line {line_number}: byte {wrong + 1} is not valid UTF-8: {quoted(line)}. "
        f"Save the file as UTF-8, for instance with `iconv -f latin1 -t utf-8`."
    )


def quoted(line: bytes) -> str:
    """The line in quotes, shortened to 120 characters."""
    text = line.decode(errors="backslashreplace")
    return repr(text if len(text) <= 120 else text[:117] + "...")
