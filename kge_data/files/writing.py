"""Atomic files and folders, and temporary names.

A file or folder is written under a temporary name beside its target, and renamed when it is complete and on disk. The
temporary name is random, so that two processes never share one. Files get the permissions of the umask. Errors of the
disk are raised as WriteError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kge_data.errors import UsageError, WriteError
from kge_data.files.disk import make_folder, writing_to

NAME_BYTES = 200  # of a name that are kept in a temporary one, because file systems allow 255
TEMPORARY = re.compile(r".*\.(\d+)-[0-9a-f]{16}\.partial", re.DOTALL)


def temporary_beside(path: Path) -> Path:
    """A new random name in the folder of `path`, with the number of this process; nothing is created."""
    name = os.fsdecode(os.fsencode(path.name)[:NAME_BYTES])
    return path.with_name(f"{name}.{os.getpid()}-{os.urandom(8).hex()}.partial")


@contextmanager
def replacing(path: Path, keep: Path | None = None, *, new: bool = False, apart: bool = False) -> Iterator[Path]:
    """An empty temporary file that replaces `path` when the block ends, and is removed when it fails.

    Parameters
    ----------
    path
        The file to write.
    keep
        Where to move an existing `path` to; by default it is overwritten.
    new
        Refuse an existing `path` instead.
    apart
        Make it in a temporary folder, for a library that writes temporary files of its own beside it.

    Raises
    ------
    UsageError
        If `path` must be new and exists, at the start or at the end.
    WriteError
        If it cannot be written.
    """
    if new:
        refuse_existing(path)
    folder = temporary_beside(path)
    temporary = folder / path.name if apart else folder
    with writing_to(path):
        if apart:
            folder.mkdir()
        else:
            temporary.touch(exist_ok=False)
        try:
            temporary.touch()
            permissions = temporary.stat().st_mode
            yield temporary
            temporary.chmod(permissions)  # some writers replace the file by one that only the owner can read
            _sync(temporary)
            if keep is not None and path.exists():
                path.replace(keep)
            if new:
                _link(temporary, path)
            else:
                temporary.replace(path)
        finally:
            if apart:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
        _sync_names(path.parent)


@contextmanager
def written_atomically(path: Path, keep: Path | None = None, *, new: bool = False) -> Iterator[IO[bytes]]:
    """A binary stream whose content becomes the file when the block ends; nothing changes when it fails.

    The parameters are those of `replacing`.
    """
    with replacing(path, keep, new=new) as temporary, temporary.open("wb") as stream:
        yield stream


def utf8(text: str) -> bytes:
    """A text for a file. Lone surrogates, as in file names that are not UTF-8, become escapes that JSON reads back."""
    return text.encode(errors="backslashreplace")


def write_atomically(path: Path, content: bytes, *, new: bool = False) -> None:
    """Write a file completely or not at all; one that has this content already is left as it is.

    Parameters
    ----------
    new
        Raise UsageError if it exists.
    """
    if not new and path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with written_atomically(path, new=new) as stream:
        stream.write(content)


def append_to(path: Path, content: bytes) -> None:
    """Add bytes to the end of a file in one step, so that several processes can do so at once.

    After an error the file is as before; a new one may be left, empty.
    """
    with writing_to(path), path.open("ab", buffering=0) as stream:
        before, written = stream.seek(0, os.SEEK_END), 0
        try:
            written = stream.write(content)
            if written < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _sync(path)
        except BaseException:
            if stream.seek(0, os.SEEK_END) == before + written:  # no other process has added anything since
                stream.truncate(before)
            raise


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
    make_folder(path.parent)
    temporary = temporary_beside(path)
    with writing_to(path):
        temporary.mkdir()
        try:
            yield temporary
            _sync_names(temporary)
            if not (replace_empty and _is_empty_folder(path)):
                _refuse_second(path)
            try:
                temporary.rename(path)
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    _refuse_second(path)
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_names(path.parent)


def refuse_existing(path: Path) -> None:
    """Raise UsageError if a file or folder with this name exists."""
    if os.path.lexists(path):  # a link that leads nowhere, too
        raise UsageError(f"{path}: exists already; choose another name, or remove it")


def _refuse_second(path: Path) -> None:
    """Raise UsageError if another process has made this result since the start."""
    if path.exists():
        when = time.strftime("%H:%M:%S", time.localtime(path.stat().st_mtime))
        raise UsageError(
            f"{path}: exists already; another process was first and wrote it at {when}; choose another name"
        )


def _link(temporary: Path, path: Path) -> None:
    """Give a temporary file its name, in one step that fails where the name is taken."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        _refuse_second(path)
        raise
    except OSError:  # a file system without hard links
        _refuse_second(path)
        temporary.replace(path)


def continued_folder(path: Path, mark: str, content: bytes = b"") -> None:
    """Make a folder for parts of a result, which a later call continues and removes at the end.

    Parameters
    ----------
    path
        The folder. An existing one is accepted if it has the mark.
    mark
        Name of a file in it.
    content
        Content of that file in a new folder.

    Raises
    ------
    UsageError
        If the path exists without the mark: it is another folder, or a file.
    """
    while not (path / mark).is_file():
        try:
            with new_folder(path) as temporary:
                write_atomically(temporary / mark, content)
        except WriteError:
            raise
        except UsageError as error:
            if (
                os.path.lexists(path) and not (path / mark).is_file()
            ):  # otherwise another process made or removed it just now
                raise UsageError(
                    f"{path}: this name is needed for unfinished work, and it exists without the file {mark} in it; "
                    "rename it, or choose another name for the result"
                ) from error


def remove_folder(path: Path) -> None:
    """Remove a folder so that other processes see all of it or nothing."""
    aside = temporary_beside(path)
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


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
