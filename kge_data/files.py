"""Atomic files and folders, temporary names, and the lock of a folder.

A file or folder is written under a temporary name beside its target, and renamed when it is complete and on disk. The
temporary name is random, so that two processes never share one. Files get the permissions of the umask.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kge_data.errors import UsageError

LOCK, HOLDER = ".lock", ".lock.json"  # in the locked folder; the lock file stays there after use


def temporary_beside(path: Path) -> Path:
    """A new random name in the folder of `path`; nothing is created."""
    return path.with_name(f"{path.name}.{os.urandom(8).hex()}.partial")


@contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """An empty temporary file that replaces `path` when the block ends, and is removed when it fails.

    Parameters
    ----------
    path
        The file to write.
    keep
        Where to move an existing `path` to; by default it is overwritten.
    """
    temporary = temporary_beside(path)
    temporary.touch(exist_ok=False)
    permissions = temporary.stat().st_mode
    try:
        yield temporary
        temporary.chmod(permissions)  # some writers replace the file by one that only the owner can read
        _sync(temporary)
        if keep is not None and path.exists():
            path.replace(keep)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_names(path.parent)


@contextmanager
def written_atomically(path: Path, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary stream whose content becomes the file when the block ends; nothing changes when it fails.

    The parameters are those of `replacing`.
    """
    with replacing(path, keep) as temporary, temporary.open("wb") as stream:
        yield stream


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    with written_atomically(path) as stream:
        stream.write(content)


@contextmanager
def new_folder(path: Path, *, replace_empty: bool = False) -> Iterator[Path]:
    """An empty temporary folder that is renamed to `path` when the block ends, and removed when it fails.

    Parameters
    ----------
    path
        The folder to make; missing parents are made too.
    replace_empty
        Accept an existing `path` that is an empty folder.

    Raises
    ------
    UsageError
        If `path` exists, at the start or at the end.
    """
    if not (replace_empty and _is_empty_folder(path)):
        refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        _sync_names(temporary)
        if not _is_empty_folder(path):
            refuse_existing(path)  # another process may have made it meanwhile
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_names(path.parent)


def refuse_existing(path: Path) -> None:
    """Raise UsageError if a file or folder with this name exists."""
    if path.exists():
        raise UsageError(f"{path}: exists already; choose another name, or remove it")


def move_aside(path: Path) -> Path:
    """Rename a folder to NAME.before-restart-DATE and return its new path. Raises UsageError if it is locked."""
    with locked(path):
        pass
    name = f"{path.name}.before-restart-{time.strftime('%Y-%m-%d')}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    aside = next(place for place in map(path.with_name, names) if not place.exists())
    path.rename(aside)
    return aside


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is no file. Raises UsageError if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path}: expected JSON, but {error}; the file is damaged") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder during the block. The folder is made if it is missing.

    The operating system releases the lock when the process ends, also when it is killed.

    Raises
    ------
    UsageError
        If the lock is held already; the message names process, host and start.
    """
    import socket

    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"{folder}: in use by {_described(holder)}; wait until it has ended, or name another folder"
        ) from None
    try:
        begun = time.strftime("%Y-%m-%d %H:%M:%S %z")
        about = {"process": os.getpid(), "host": socket.gethostname(), "since": begun}
        write_atomically(holder, json.dumps(about).encode())
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _described(holder: Path) -> str:
    about = read_json(holder)
    if about is None:  # the holder has not written it yet
        return "another process"
    return f"process {about['process']} on {about['host']} since {about['since']}"


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _sync_names(folder: Path) -> None:
    """Force the names in a folder to disk, so that a rename survives a power cut."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
