"""Atomic files and folders, temporary names, and the lock of a folder.

A file or folder is written under a temporary name beside its target, and renamed when it is complete and on disk. The
temporary name is random, so that two processes never share one. Files get the permissions of the umask.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO, TYPE_CHECKING, Any

from kge_data.errors import UsageError
from kge_data.process_group import process_group

if TYPE_CHECKING:
    from filelock import FileLock

LOCK, HOLDER = ".lock", ".lock.holder"  # in the locked folder; both files stay there after use
TEMPORARY = re.compile(r".*\.(\d+)-[0-9a-f]{16}\.partial", re.DOTALL)


def temporary_beside(path: Path) -> Path:
    """A new random name in the folder of `path`, with the number of this process; nothing is created."""
    return path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(8).hex()}.partial")


def file_name(graph: str) -> str:
    """The name of a graph as the name of a file or folder.

    Raises
    ------
    UsageError
        If it is a path, or cannot be one.
    """
    if PureWindowsPath(graph).name != graph or graph in ("", "..") or not graph.isprintable():
        raise UsageError(
            f"the graph is called {graph!r}, which cannot be the name of a file or folder; say where to write the "
            "result with --out (folder= in Python)"
        )
    return graph


@contextmanager
def replacing(path: Path, keep: Path | None = None, *, new: bool = False) -> Iterator[Path]:
    """An empty temporary file that replaces `path` when the block ends, and is removed when it fails.

    Parameters
    ----------
    path
        The file to write.
    keep
        Where to move an existing `path` to; by default it is overwritten.
    new
        Refuse an existing `path` instead.

    Raises
    ------
    UsageError
        If `path` must be new and exists, at the start or at the end.
    """
    if new:
        refuse_existing(path)
    temporary = temporary_beside(path)
    temporary.touch(exist_ok=False)
    permissions = temporary.stat().st_mode
    try:
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
    """Write a file completely or not at all.

    Parameters
    ----------
    new
        Raise UsageError if it exists.
    """
    with written_atomically(path, new=new) as stream:
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
    if path.exists():
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
    if (path / mark).is_file():
        return
    if path.exists():
        raise UsageError(
            f"{path}: this name is needed for unfinished work, and it exists without the file {mark} in it; rename it, "
            "or choose another name for the result"
        )
    try:
        with new_folder(path) as temporary:
            write_atomically(temporary / mark, content)
    except UsageError:
        if not (path / mark).is_file():  # another process was first, with the same work
            raise


def move_aside(path: Path, wait: Callable[[str], object] | None = None) -> Path:
    """Rename a folder to NAME.before-restart-DATE and return its new path; `wait` and errors as for `locked`."""
    name = f"{path.name}.before-restart-{time.strftime('%Y-%m-%d')}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    aside = next(place for place in map(path.with_name, names) if not place.exists())
    with locked(path, wait):
        path.rename(aside)
    return aside


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is no file.

    Raises
    ------
    UsageError
        If it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UsageError(f"{path}: expected JSON, but {error}; the file is damaged") from error


@contextmanager
def locked(folder: Path | None, wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold the lock of a folder during the block.

    A folder that is missing is made, and removed if nothing was written into it. Temporary files that a killed process
    left are removed. The operating system releases the lock when the process ends, also when it is killed. Of several
    processes that torchrun started, the first one holds the lock. Nothing is locked without the package filelock, which
    only an installation for inference lacks.

    Parameters
    ----------
    folder
        The folder; None locks nothing.
    wait
        Wait until the lock is free, after calling this with a sentence that names the holder.

    Raises
    ------
    UsageError
        If the lock is held already, and `wait` is None; the message names process, host and start.
    """
    import socket

    try:
        from filelock import FileLock
    except ImportError:
        folder = None
    if folder is None or process_group().rank:
        yield
        return
    made, lock = not folder.exists(), FileLock(folder / LOCK)
    while not _acquired(lock, folder, blocking=False):
        holder = f"{folder}: in use by {_described(folder / HOLDER)}"
        if wait is None:
            raise UsageError(
                f"{holder}; wait until it has ended (--wait, where the command has it), or name another folder"
            )
        wait(f"{holder}; waiting until it has ended")
        if _acquired(lock, folder, blocking=True):
            break
    try:
        begun = time.strftime("%Y-%m-%d %H:%M:%S %z")
        about = {"process": os.getpid(), "host": socket.gethostname(), "since": begun}
        write_atomically(folder / HOLDER, json.dumps(about).encode())
        _remove_leftovers(folder)
        yield
    finally:
        if made and folder.exists() and {path.name for path in folder.iterdir()} <= {LOCK, HOLDER}:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was written
        lock.release()


def _acquired(lock: FileLock, folder: Path, blocking: bool) -> bool:
    """Acquire the lock of a folder; false if another process has it, or has just moved or removed the folder."""
    from filelock import Timeout

    _make(folder)
    path = folder / LOCK
    try:
        path.touch()
        before = path.stat().st_ino
        lock.acquire(blocking=blocking, poll_interval=0.2)
        if path.stat().st_ino == before:
            return True
    except (Timeout, FileNotFoundError):
        pass
    lock.release()
    return False


def _make(folder: Path) -> None:
    """Make a folder if it is missing, also while another process moves or removes it."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return
        except FileExistsError:
            if folder.exists():  # a file; otherwise a folder that is gone by now
                raise


def _described(holder: Path) -> str:
    about = read_json(holder)
    if about is None:  # the holder has not written it yet
        return "another process"
    return f"process {about['process']} on {about['host']} since {about['since']}"


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes in a locked folder, but not in folders with a lock of their own."""
    for place, folders, names in os.walk(folder):
        for name in filter(_is_leftover, names):
            (Path(place) / name).unlink(missing_ok=True)
        for name in filter(_is_leftover, folders):
            shutil.rmtree(Path(place) / name, ignore_errors=True)
        folders[:] = [name for name in folders if not (Path(place) / name / LOCK).exists()]


def _is_leftover(name: str) -> bool:
    """Whether a name is that of a temporary file whose process has ended."""
    found = TEMPORARY.fullmatch(name)
    return found is not None and not _is_running(int(found[1]))


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # where it cannot be found out harmlessly
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


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
