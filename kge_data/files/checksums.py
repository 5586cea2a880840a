"""Checksums that tell whether a file has changed since it was written.

A JSON file contains a SHA-256 of its own content, and may contain those of binary files that belong to it. Zip
archives, as numpy and torch write them, contain a CRC-32 of every member. Files of earlier versions have no checksum;
they are read unchecked.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kge_data.errors import UsageError
from kge_data.files.writing import utf8, write_atomically

CHECKSUM = "file_checksum"  # key of a JSON file: SHA-256 of the rest


def as_json(content: Mapping[str, Any]) -> bytes:
    """A JSON file with a checksum of its content; values of other types are written as texts."""
    plain = json.loads(json.dumps(content, default=str))
    text = json.dumps({**plain, CHECKSUM: _checksum(plain)}, indent=2, ensure_ascii=False) + "\n"
    return utf8(text)


def from_json(content: bytes) -> Any:
    """The inverse of `as_json`; also reads other JSON.

    Raises
    ------
    ValueError
        If it is no JSON, or does not match its checksum.
    """
    try:
        found = json.loads(content)
        if isinstance(found, dict) and CHECKSUM in found and found.pop(CHECKSUM) != _checksum(found):
            raise ValueError(f"it does not match its {CHECKSUM}")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with a checksum of its content, atomically."""
    write_atomically(path, as_json(content))


def read_json(path: Path) -> dict[str, Any] | None:
    """The content of a file of `write_json` without its checksum, or None if there is no file.

    Raises
    ------
    UsageError
        If it is damaged.
    """
    try:
        found = from_json(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
        return found
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UsageError(
            f"{path}: expected JSON as it was written, but {error}; the file is damaged or was edited; put back a "
            "copy, or name another folder"
        ) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def checked_zip(path: Path) -> Iterator[IO[bytes]]:
    """A zip archive as a binary stream, all of whose members match their CRC-32.

    The readers of numpy and torch compare only members that they read to the end, or none.

    Raises
    ------
    ValueError
        If the archive is damaged.
    """
    with path.open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                damaged = archive.testzip()
        except Exception as error:  # of many types, in damaged headers
            raise ValueError(str(error) or type(error).__name__) from error
        if damaged is not None:
            raise ValueError(f"{damaged} does not match its CRC-32")
        stream.seek(0)
        yield stream


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
