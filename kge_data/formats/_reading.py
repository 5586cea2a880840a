"""What the readers of all text formats share: messages about a line of a file."""

from __future__ import annotations

import re
from pathlib import Path

from kge_data.errors import DataError, shortened
from kge_data.layout import Layout
from kge_data.tripleset import FIELDS

ROWS_PER_BLOCK = 1 << 16  # triples that a reader returns at once
PREAMBLE = 10_000  # lines before the header or first triple


def is_preamble(fields: list[str], number: int, path: Path) -> bool:
    """Whether a line may come before the header or first triple: a blank one, or a comment that begins with #.

    Raises
    ------
    DataError
        If it is one, and there were too many before.
    """
    is_comment = len(fields) < len(FIELDS) and fields[:1] != [] and fields[0].lstrip().startswith("#")
    found = is_comment or not any(map(str.strip, fields))
    if found and number > PREAMBLE:
        raise DataError(f"{path}: the first {PREAMBLE:,} lines are blank or comments; check that it is the right file.")
    return found


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
    r"""The line in quotes, shortened to 120 characters; a byte that is not UTF-8 as \xe9."""
    text = line.decode(errors="surrogateescape")
    return re.sub(r"\\udc(?=[89a-f])", r"\\x", shortened(text))


def check_fields(fields: list[str], layout: Layout, path: Path, line_number: int, line: bytes, separator: str) -> None:
    """Raises DataError where a line has another number of fields than its file, or an empty label."""
    where = f"{path}, line {line_number}"
    if len(fields) != layout.width:
        what = "(head, relation, tail)" if layout.width == 3 else "as in the first line"
        raise DataError(
            f"{where}: expected {layout.width} {separator}-separated fields {what}, found {len(fields)}: "
            f"{quoted(line)}. {_advice(line.decode(), separator)}"
        )
    for role, place in zip(FIELDS, layout.places, strict=True):
        if not fields[place]:
            raise DataError(f"{where}: the {role} is empty: {quoted(line)}. Give it a label or remove the line.")


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
