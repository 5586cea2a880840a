"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mulde.errors import UsageError


@contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """An empty temporary file that replaces `path` when the block ends, and is removed when it fails.

    keep: where to move an existing `path` to; by default it is overwritten.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def written_atomically(path: Path, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary stream whose content becomes the file when the block ends; nothing changes when it fails."""
    with replacing(path, keep) as partial, partial.open("wb") as stream:
        yield stream


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with written_atomically(path) as stream:
        stream.write(content)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name ``path`` when the block ends well, and is gone where it does not.

    Raises UsageError where ``path`` exists.
    """
    refuse_existing(path)
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of an attempt that was interrupted
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raises UsageError where something has this name already."""
    if path.exists():
        raise UsageError(f"{path}: exists already; choose another name, or remove it")


def read_json(path: Path) -> Any:
    """A JSON file, or None where there is none. Raises UsageError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path}: expected JSON, but {error}; the file is damaged") from error
