"""Text files as UTF-8: UTF-16 and UTF-32 with a byte order mark, line ends of old Macintosh programs, long lines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kge_data.errors import DataError
from kge_data.formats._compressed import BUFFER, opened
from kge_data.limits import limit

MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
NO_TEXT = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
HEAD = 1 << 13  # bytes in which a text has a line end


@contextmanager
def opened_text(path: Path, *, lines: bool = True) -> Iterator[IO[bytes]]:
    """A stream of the decompressed bytes of a text file, in UTF-8 without a byte order mark.

    Lone carriage returns at line ends become line feeds.

    Parameters
    ----------
    path
        The file.
    lines
        Whether to refuse lines that are longer than KGE_DATA_LINE_MB allows.

    Raises
    ------
    DataError
        If the file is UTF-16 without a byte order mark; while the stream is read, if it is damaged or has too long a
        line.
    """
    with opened(path) as stream:
        assert isinstance(stream, io.BufferedReader)
        head = stream.peek(HEAD)[:HEAD]
        encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), "utf-8")
        if (end := next((end for mark, end in NO_TEXT.items() if head.startswith(mark)), None)) is not None:
            raise DataError(f"{path}: expected text, found the content of a {end} file; rename it to end in {end}.")
        if encoding.startswith("utf-8") and 0 in head[:4]:
            raise DataError(
                f"{path}: looks like UTF-16 without a byte order mark; convert it, for instance with "
                f"`iconv -f utf-16{'be' if head[0] == 0 else 'le'} -t utf-8`."
            )
        start = head.decode(encoding, "ignore")
        only_returns = "\r" in start[:-1] and "\n" not in start
        if encoding == "utf-8-sig":
            stream.read(3)
        if encoding in ("utf-16", "utf-32") or only_returns:
            ends = None if only_returns else ""
            stream = io.BufferedReader(_Utf8(stream, encoding.removesuffix("-sig"), path, ends), BUFFER)
        yield io.BufferedReader(_Lines(stream, path), BUFFER) if lines else stream


class _Utf8(io.RawIOBase):
    """The bytes of a stream in another encoding, or with other line ends, as UTF-8."""

    def __init__(self, source: IO[bytes], encoding: str, path: Path, newline: str | None) -> None:
        # bytes that are not UTF-8 pass unchanged, for the message about their line
        errors = "surrogateescape" if encoding == "utf-8" else "strict"
        self._text = io.TextIOWrapper(source, encoding, errors, newline)
        self._errors, self._encoding, self._path, self._waiting = errors, encoding, path, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._waiting:
            try:
                self._waiting = memoryview(self._text.read(1 << 16).encode(errors=self._errors))
            except UnicodeError as error:
                raise DataError(
                    f"{self._path}: not valid {self._encoding.upper()} ({error}); save it as UTF-8."
                ) from error
        size = min(len(buffer), len(self._waiting))
        buffer[:size], self._waiting = self._waiting[:size], self._waiting[size:]
        return size


class _Lines(io.RawIOBase):
    """The bytes of a stream. Refuses a line that is too long, before it fills the memory."""

    def __init__(self, source: IO[bytes], path: Path) -> None:
        self._source, self._path = source, path
        self._longest = limit("KGE_DATA_LINE_MB")
        self._size = max(1, int(min(self._longest, 1.0) * (1 << 20)))  # of a piece, which has no line that is too long
        self._before, self._position = 0, 0  # bytes of the current line, and of the file, before the next piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._source.read(min(len(buffer), self._size))
        end = piece.find(b"\n")
        if self._before + (len(piece) if end < 0 else end) > self._longest * (1 << 20):
            raise DataError(
                f"{self._path}: the line that begins at byte {self._position - self._before + 1:,} is longer than "
                f"{self._longest:g} MB; check that it is the right file, or set the environment variable "
                "KGE_DATA_LINE_MB to a larger number."
            )
        self._before = self._before + len(piece) if end < 0 else len(piece) - 1 - piece.rfind(b"\n")
        self._position += len(piece)
        buffer[: len(piece)] = piece
        return len(piece)
