"""Files of others, opened with care: no pipes, devices or sockets, and never more bytes than expected."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from kge_data.errors import UsageError

NO_WAITING = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device",
         stat.S_IFBLK: "device"}  # fmt: skip


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a link to a file counts as one.

    Raises
    ------
    UsageError
        If it is a pipe, device, socket or folder, or a link that leads nowhere.
    FileNotFoundError
        If there is none.
    """
    try:
        _refuse_special(path, path.stat().st_mode)
        # a pipe that has replaced the file since would block
        stream = os.fdopen(os.open(path, os.O_RDONLY | NO_WAITING), "rb")
    except FileNotFoundError:
        if path.is_symlink():
            raise UsageError(f"{path}: expected a file, found a link that leads nowhere; copy the file again") from None
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    except RuntimeError as error:  # a loop of links, in Python before 3.13
        raise UsageError(f"{path}: expected a file, but {error}; copy the file again") from error
    except OSError as error:
        raise UsageError(
            f"{path}: expected a file that can be read, but {error.strerror}; copy it again, or change its permissions"
        ) from error
    try:
        _refuse_special(path, os.fstat(stream.fileno()).st_mode)
    except UsageError:
        stream.close()
        raise
    return stream


def read_limited(path: Path, most: int) -> bytes:
    """The content of a file.

    Parameters
    ----------
    most
        Bytes that it may have.

    Raises
    ------
    UsageError
        If it has more, or is no regular file.
    FileNotFoundError
        If there is none.
    """
    with open_regular(path) as stream:
        if (size := os.fstat(stream.fileno()).st_size) > most:
            raise UsageError(
                f"{path}: expected at most {most:,} bytes, found {size:,}; the file is damaged or was changed"
            )
        return stream.read(most)


def _refuse_special(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "special file")
        raise UsageError(f"{path}: expected a file, found a {kind}; copy the file again")
