"""The files of a bundle, in a folder or a zip. Sizes are known, and compared, before a byte is expanded."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, cast

from kge_data.regular_files import open_regular
from mulde.errors import UsageError

DAMAGED = "the bundle is damaged or was changed; copy it again"
BLOCK = 1 << 18  # bytes that are read at once
LARGEST_DIRECTORY = 1 << 20  # bytes of a zip's list of files
UNLIMITED, RATIO = 32 << 20, 200  # a larger file that is compressed further than this is refused; ours reach 10
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, OverflowError)


class Checked:
    """A stream of known size whose SHA-256 is computed while it is read.

    Parameters
    ----------
    stream
        Bytes from the beginning of the file.
    size
        Number of bytes.
    where
        Path of the file, for messages.
    """

    def __init__(self, stream: IO[bytes], size: int, where: Path):
        self.size, self._left = size, size
        self._stream, self._where, self._sha256 = stream, where, hashlib.sha256()

    def read(self, count: int) -> bytes:
        """The next bytes; fewer than ``count`` at the end of the file."""
        return b"".join(self.blocks(count))

    def blocks(self, count: int | None = None) -> Iterator[bytes]:
        """The next ``count`` bytes, or the rest of the file, in pieces."""
        count = self._left if count is None else min(count, self._left)
        while count:
            with _explained(self._where):
                block = self._stream.read(min(count, BLOCK))
            if not block:
                return
            count -= len(block)
            self._left -= len(block)
            self._sha256.update(block)
            yield block

    def whole(self, most: int | None = None) -> bytes:
        """The rest of the file; refused as by `refuse_above`."""
        self.refuse_above(most)
        return self.read(self._left)

    def refuse_above(self, most: int | None) -> None:
        """Raise UsageError if the file has more bytes than this."""
        if most is not None and self.size > most:
            raise UsageError(f"{self._where}: expected at most {most:,} bytes, found {self.size:,}; {DAMAGED}")

    def digest(self) -> str:
        """SHA-256 of the file, after reading the rest; empty if it is shorter than its size."""
        for _ in self.blocks():
            pass
        return "" if self._left else self._sha256.hexdigest()


class Folder:
    """Files in a folder."""

    def __init__(self, place: Path):
        self.place = place

    def names(self) -> list[str]:
        """All files and folders."""
        return [path.name for path in self.place.iterdir()]

    @contextmanager
    def open(self, name: str) -> Iterator[Checked]:
        """A file as a stream.

        Raises
        ------
        UsageError
            If it is missing, not a regular file, or mostly without content on the disk.
        """
        try:
            stream = open_regular(self.place / name)
        except FileNotFoundError as error:
            raise _missing(self.place, name) from error
        with stream:
            status = os.fstat(stream.fileno())
            on_disk = 512 * getattr(status, "st_blocks", status.st_size)  # no blocks on Windows
            _refuse_expansion(self.place, name, on_disk, status.st_size)
            yield Checked(stream, status.st_size, self.place / name)


class Zip:
    """Files in a zip, stored or deflated."""

    def __init__(self, place: Path, file: zipfile.ZipFile):
        self.place, self._file = place, file

    def names(self) -> list[str]:
        """All files."""
        return self._file.namelist()

    @contextmanager
    def open(self, name: str) -> Iterator[Checked]:
        """A file as a stream.

        Raises
        ------
        UsageError
            If it is missing, there twice, encrypted, compressed in another way, or compressed suspiciously far.
        """
        found = [entry for entry in self._file.infolist() if entry.filename == name]
        if not found:
            raise _missing(self.place, name)
        entry = found[0]
        if len(found) > 1:
            raise UsageError(f"{self.place}: expected one {name}, found {len(found)}; {DAMAGED}")
        if entry.flag_bits & 0x1:
            raise UsageError(f"{self.place}: {name} is encrypted; make the zip again without a password")
        if entry.compress_type not in METHODS:
            method = entry.compress_type
            raise UsageError(
                f"{self.place}: expected {name} stored or deflated, found method {method}; make the zip again"
            )
        _refuse_expansion(self.place, name, entry.compress_size, entry.file_size)
        with _explained(self.place):
            stream = self._file.open(entry)
        with stream:
            yield Checked(stream, entry.file_size, self.place / name)


@contextmanager
def opened(place: Path) -> Iterator[Folder | Zip]:
    """The files of a bundle.

    Raises
    ------
    UsageError
        If it is neither a folder nor a zip.
    """
    if place.is_dir():
        yield Folder(place)
        return
    with closing(_Bounded(cast(io.BufferedReader, open_regular(place)).detach())) as stream:
        with _explained(place):
            file = zipfile.ZipFile(stream)
        yield Zip(place, file)


class _Bounded(io.BufferedReader):
    """A file of which no more is read at once than the list of files in a zip may take."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = LARGEST_DIRECTORY + 1 if size is None or size < 0 else size
        content = super().read(wanted) if wanted <= LARGEST_DIRECTORY + 1 else None
        if content is None or len(content) > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"its list of files takes more than {LARGEST_DIRECTORY:,} bytes")
        return content


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    """Errors of a damaged zip as UsageError."""
    try:
        yield
    except BROKEN as error:
        raise UsageError(f"{place}: expected a bundle in a zip, but {error}; {DAMAGED}") from error
    except OSError as error:
        if error.filename is not None:  # an error of the file system; others come from damaged offsets
            raise
        raise UsageError(f"{place}: expected a bundle in a zip, but {error}; {DAMAGED}") from error


def _refuse_expansion(place: Path, name: str, stored: int, size: int) -> None:
    if size > max(UNLIMITED, RATIO * stored):
        raise UsageError(
            f"{place}: {name} would expand from {stored:,} to {size:,} bytes, more than {RATIO} times; {DAMAGED}"
        )


def _missing(place: Path, name: str) -> UsageError:
    return UsageError(f"{place}: expected {name} in it, found none; copy it again, all files together")
