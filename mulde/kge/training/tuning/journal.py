"""The journal of an Optuna study: a file to which a line is appended for every change, with a checksum in each line.

Imports Optuna.
"""

from __future__ import annotations

import json
import warnings
import zlib
from pathlib import Path
from typing import Any, cast

from optuna.storages.journal import JournalFileBackend

from mulde.errors import UsageError
from mulde.files import writing_to

CRC = "crc32"  # key of a line: checksum of the rest


class Journal(JournalFileBackend):
    """A journal file; the folder's lock replaces that of Optuna, which outlives a kill.

    Parameters
    ----------
    path
        The file. A last line that was written in part is removed.

    Raises
    ------
    UsageError
        If a line is damaged.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            _cut_last_line(path)
            _check(path)
        self._path = path
        super().__init__(str(path), lock_obj=cast(Any, _NoLock()))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with writing_to(self._path):
            super().append_logs([{**log, CRC: _checksum(log)} for log in logs])


class _NoLock:
    """A lock that is always free."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _cut_last_line(path: Path) -> None:
    """Remove a line that was written in part, after which nothing could be appended."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        warnings.warn(f"{path}: the last line was written in part and is removed", stacklevel=2)
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _check(path: Path) -> None:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            entry = json.loads(line)
            intact = CRC not in entry or entry.pop(CRC) == _checksum(entry)  # earlier versions wrote none
        except (ValueError, AttributeError, TypeError):
            intact = False
        if not intact:
            raise UsageError(
                f"{path}, line {number}: does not match its checksum; the file is damaged or was edited; put back a "
                "copy, or name another folder"
            )


def _checksum(entry: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(entry, sort_keys=True).encode())
