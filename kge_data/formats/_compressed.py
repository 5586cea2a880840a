"""Reading of plain and compressed (.gz, .zst) files."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kge_data.errors import DataError
from kge_data.limits import limit

SUFFIXES = (".gz", ".zst")
SMALL = 1 << 26  # bytes that any compressed file may hold
BUFFER = 1 << 16
PIECE = 1 << 10  # compressed bytes that are expanded at once; with Zstandard they may become 32 MiB


def ending(path: Path) -> str:
    """The ending that names the format: ".tsv" for graph.tsv and for graph.tsv.gz; "" if there is none."""
    return path.with_suffix("").suffix if path.suffix in SUFFIXES else path.suffix


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A stream of the bytes of a file, decompressed if its name ends in .gz or .zst.

    Raises
    ------
    DataError
        If the file cannot be opened, or its compressed data are damaged, end too early or expand to too much; possibly
        only while the stream is read.
    """
    try:
        with path.open("rb") as source:
            if path.suffix not in SUFFIXES:
                yield source
                return
            content = gzip.GzipFile(fileobj=source) if path.suffix == ".gz" else _Zstandard(source, path)
            yield io.BufferedReader(_Expanded(content, path), BUFFER)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, error) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions."
        ) from error


def damaged(path: Path, reason: object) -> DataError:
    """The error for damaged compressed data."""
    return DataError(f"{path}: the compressed data are damaged or cut off ({reason}); copy or download the file again.")


def refuse_expansion(path: Path, size: int) -> None:
    """Raise DataError if a compressed file holds too many bytes for its own size."""
    times, stored = limit("KGE_DATA_EXPANSION"), path.stat().st_size
    if size > max(SMALL, times * stored):
        raise DataError(
            f"{path}: its {stored:,} bytes expand to more than {times:g} times as many; if the file is right, set the "
            "environment variable KGE_DATA_EXPANSION to a larger number."
        )


class _Expanded(io.RawIOBase):
    """The bytes of a decompressed stream, as many as the size of the file allows."""

    def __init__(self, content: io.RawIOBase | gzip.GzipFile, path: Path) -> None:
        self._content, self._path = content, path
        self._size, self._checked = 0, SMALL

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._content.readinto(buffer) or 0
        self._size += size
        if self._size > self._checked:
            refuse_expansion(self._path, self._size)
            self._checked = self._size + SMALL // 64
        return size


class _Zstandard(io.RawIOBase):
    """A reader of Zstandard frames that, unlike the library's, raises an error if the last frame is cut off."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise DataError(
                f"{path}: reading .zst needs the package zstandard; `pip install zstandard`, or decompress the file."
            ) from None
        self._library: Any = zstandard
        self._source, self._path = source, path
        self._frame, self._waiting, self._compressed = None, memoryview(b""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            self._compressed = self._compressed or self._source.read(PIECE)
            if not self._compressed:
                if self._frame is not None:
                    raise damaged(self._path, "the last frame is incomplete")
                return 0
            self._waiting = memoryview(self._decompress())
        size = min(len(buffer), len(self._waiting))
        buffer[:size], self._waiting = self._waiting[:size], self._waiting[size:]
        return size

    def _decompress(self) -> bytes:
        frame = self._frame or self._library.ZstdDecompressor().decompressobj()
        try:
            text: bytes = frame.decompress(self._compressed)
        except (self._library.ZstdError, MemoryError) as error:
            raise damaged(self._path, error) from error
        self._compressed, self._frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        return text
