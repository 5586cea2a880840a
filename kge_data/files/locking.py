"""The lock of a folder: one process writes, others wait or are refused."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kge_data.errors import UsageError
from kge_data.files.checksums import read_json
from kge_data.files.disk import make_folder, writing_to
from kge_data.files.process_group import process_group
from kge_data.files.writing import TEMPORARY, write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

LOCK, HOLDER = ".lock", ".lock.holder"  # in the locked folder; both files stay there after use


def move_aside(path: Path, wait: Callable[[str], object] | None = None) -> Path:
    """Rename a folder to NAME.before-restart-DATE and return its new path; `wait` and errors as for `locked`."""
    name = f"{path.name}.before-restart-{time.strftime('%Y-%m-%d')}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    aside = next(place for place in map(path.with_name, names) if not place.exists())
    with locked(path, wait):
        path.rename(aside)
    return aside


@contextmanager
def locked(
    folder: Path | None, wait: Callable[[str], object] | None = None, *, finished: bool = False
) -> Iterator[None]:
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
    finished
        Whether the folder has a finished result, which the block reads. Then it is not locked where there is no
        permission to write.

    Raises
    ------
    UsageError
        If the lock is held already, and `wait` is None; the message names process, host and start.
    NotWritable
        If there is no permission to write into the folder.
    """
    import socket

    try:
        from filelock import FileLock
    except ImportError:
        folder = None
    if folder is None or process_group().rank or (finished and not os.access(folder, os.W_OK)):
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


def refuse_files_of_others(folder: Path, names: Iterable[str], mark: str) -> None:
    """Raise UsageError if a folder of something else holds a file that would be replaced.

    Parameters
    ----------
    folder
        The folder; it may be missing.
    names
        Names of the files.
    mark
        Pattern of a file that only an earlier result has. A folder that was locked before is one, too.
    """
    found = [name for name in names if (folder / name).exists()]
    if found and not (folder / LOCK).exists() and not any(folder.glob(mark)):
        raise UsageError(
            f"{folder}: expected a new folder or that of an earlier run, found {found[0]} of something else, which "
            "would be replaced; name another folder"
        )


def _acquired(lock: FileLock, folder: Path, blocking: bool) -> bool:
    """Acquire the lock of a folder; false if another process has it, or has just moved or removed the folder."""
    from filelock import Timeout

    make_folder(folder)
    path = folder / LOCK
    try:
        with writing_to(folder):
            path.touch()
            before = path.stat().st_ino
            lock.acquire(blocking=blocking, poll_interval=0.2)
            if path.stat().st_ino == before:
                return True
    except (Timeout, FileNotFoundError):
        pass
    lock.release()
    return False


def _described(holder: Path) -> str:
    try:
        about = read_json(holder) or {}
        return f"process {about['process']} on {about['host']} since {about['since']}"
    except (UsageError, OSError, TypeError, KeyError):  # not written yet, or damaged
        return "another process"


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
