"""Files of records, one JSON object per line. Several processes can add records at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mulde.errors import UsageError
from mulde.files import append_to, make_folder, utf8, write_atomically

Record = dict[str, Any]


def read(path: Path, entries: Sequence[str] = ()) -> list[Record]:
    """The records of a file, oldest first; empty where there is no file.

    Parameters
    ----------
    path
        The file.
    entries
        Names that every record must have.

    Raises
    ------
    UsageError
        If the file holds something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a file of records, but it is none ({error}); name another file") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not record.keys() >= set(entries):
            wanted = f" with {' and '.join(entries)}" if entries else ""
            raise UsageError(f"{path}, line {number}: expected a record, a JSON object{wanted}; name another file")
        records.append(record)
    return records


def write(path: Path, records: Iterable[Record]) -> None:
    """Replace the records of a file, atomically."""
    make_folder(path.parent)
    write_atomically(path, _lines(records))


def append(path: Path, *records: Record) -> int:
    """Add records to a file, except those that it has already; returns the number of added ones.

    Raises
    ------
    UsageError
        If the file holds something else.
    """
    found = read(path)
    new = [record for record in map(_plain, records) if record not in found]
    if new:
        make_folder(path.parent)
        ends = not found or path.read_bytes().endswith(b"\n")
        append_to(path, (b"" if ends else b"\n") + _lines(new))
    return len(new)


def _lines(records: Iterable[Record]) -> bytes:
    return utf8("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def _plain(record: Record) -> Record:
    """The record as a file gives it back."""
    plain: Record = json.loads(json.dumps(record))
    return plain
