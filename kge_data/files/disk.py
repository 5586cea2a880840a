"""Errors of the disk while a file is written, in a sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kge_data.errors import NotWritable, UsageError, WriteError

REASONS = {
    errno.ENOSPC: ("no space left on the device", "free some space, and the same command continues"),
    errno.EDQUOT: ("disk quota exceeded", "free some space of your quota, and the same command continues"),
    errno.EFBIG: ("larger than the limit for files", "raise it (`ulimit -f`), and the same command continues"),
    errno.EROFS: ("the file system is read-only", "make it writable, or name another path"),
    errno.EIO: ("input or output error of the disk", "check the disk, and the same command continues"),
}
PERMISSION = ("no permission to write there", "change the permissions, or name another path")


def disk_error(error: BaseException, path: Path | None = None) -> WriteError | None:
    """The explanation of an error; None if the disk is not the reason.

    Parameters
    ----------
    error
        The error. Errors that it was raised from count too, because libraries wrap those of the system, or keep only
        their text.
    path
        What was written; with it, missing permissions are explained as well.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, WriteError):
            is_part = path is not None and _is_on_the_way(str(cause.path), path)
            return type(cause)(path, cause.strerror, cause.advice) if is_part else cause
        for code, explanation in REASONS.items():
            if getattr(cause, "errno", None) == code or os.strerror(code) in str(cause):
                return WriteError(path or getattr(cause, "filename", None), *explanation)
        if path is not None and isinstance(cause, PermissionError) and _is_on_the_way(cause.filename, path):
            return NotWritable(path, *PERMISSION)
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Explain errors of the disk in the block, which writes `path`.

    Raises
    ------
    WriteError
        If the disk is full, for example, or there is no permission.
    """
    try:
        yield
    except Exception as error:
        is_usage = isinstance(error, UsageError) and not isinstance(error, NotWritable)
        explained = None if is_usage else disk_error(error, path)
        if explained is None:
            raise
        raise explained from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents if they are missing, also while another process moves or removes it."""
    with writing_to(path):
        while True:
            try:
                path.mkdir(parents=True, exist_ok=True)
                return
            except FileExistsError:  # a file, a link that leads nowhere, or a folder that is gone by now
                if any(os.path.lexists(each) and not each.is_dir() for each in (path, *path.parents)):
                    raise


def _is_on_the_way(name: str | None, path: Path) -> bool:
    """Whether an error with this file name concerns a path, its temporary file, or a folder that it is in."""
    return name is None or str(name).startswith(str(path)) or str(path).startswith(str(name))
