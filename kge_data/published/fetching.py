"""Download of a published graph: resumed after an interruption, verified, and tried from each mirror in turn."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path

from kge_data.errors import DataError, WriteError
from kge_data.files import continued_folder, locked, make_folder, remove_folder, writing_to, written_atomically
from kge_data.published.record import Download, PublishedSet

ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt; doubled before each later one
TIMEOUT = 30.0  # seconds without data
CHUNK = 1 << 16
MARK = ".download"  # in the folder of an unfinished download
WANTED = ("train.txt", "valid.txt", "test.txt")


def fetch(published: PublishedSet, destination: Path, check: Callable[[Path], object]) -> None:
    """Make the folder `destination`, by one rename when it is complete and verified.

    An unfinished download stays in `<destination>.partial`, and the next call continues it. Of two processes, the
    second waits for the first.

    Parameters
    ----------
    published
        The record with the mirrors.
    destination
        The folder to make.
    check
        Called with a folder; raises DataError if it is not the published graph.

    Raises
    ------
    DataError
        If no mirror works; the message has the answer of each, and where to put the files by hand.
    UsageError
        If `<destination>.partial` is another folder.
    WriteError
        If the disk is full, for example.
    """
    unfinished = destination.with_name(f"{destination.name}.partial")
    continued_folder(unfinished, MARK)
    with locked(unfinished, wait=lambda text: sys.stderr.write(f"kge_data: {text}\n")):
        if not destination.exists():  # else another process has just made it
            _fetch(published, destination, unfinished, check)
        remove_folder(unfinished)


def _fetch(published: PublishedSet, destination: Path, unfinished: Path, check: Callable[[Path], object]) -> None:
    """Download into the folder `unfinished`, and move the result to `destination`."""
    failures = []
    for number, mirror in enumerate(published.mirrors, 1):
        partial = unfinished / str(number)
        try:
            for download in mirror:
                _get(download, partial)
                if download.file_name.endswith(".tar.gz"):
                    _unpack(partial / download.file_name)
        except WriteError:
            raise
        except (DataError, OSError) as error:
            failures.append(str(error))
            continue
        try:
            check(partial)
        except DataError as error:
            shutil.rmtree(partial)  # complete but wrong: there is nothing to continue
            failures.append(str(error))
            continue
        _get_names(published, partial)
        partial.replace(destination)
        return
    raise DataError(
        f"{published.name}: the download failed from every mirror. {' '.join(failures)} To install it by hand, put "
        f"{', '.join(WANTED)} into a folder {published.folder}, and set KGE_DATA_HOME to the folder that contains it."
    )


def _get(download: Download, folder: Path) -> None:
    """Download one file, in several attempts; each continues the previous one."""
    target = folder / download.file_name
    if target.is_file():
        return
    make_folder(folder)
    partial = target.with_name(f"{target.name}.part")
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            _transfer(download.url, partial)
            _verify(partial, download)
            partial.replace(target)
            return
        except urllib.error.HTTPError as error:
            reason = f"the server answered {error.code} {error.reason}"
            if error.code == 416:  # the part on disk is longer than the file
                partial.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                break  # another attempt would not help
        except WriteError:
            raise
        except (OSError, http.client.HTTPException, DataError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
    raise DataError(f"{download.url}: {reason}.")


def _transfer(url: str, partial: Path) -> None:
    """Append the rest of a file to its part on disk. Raises ConnectionError if the connection ends too early."""
    start = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        resumed = answer.status == 206
        start = start if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        progress = _Progress(url.rpartition("/")[2], start, total)
        with writing_to(partial), partial.open("ab" if resumed else "wb") as stream:
            while chunk := answer.read(CHUNK):
                stream.write(chunk)
                progress.show(stream.tell())
            received = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
        progress.end()
    if total is not None and received < total:
        raise ConnectionError(f"the connection ended after {received:,} of {total:,} bytes")


def _verify(path: Path, download: Download) -> None:
    if not download.sha256:
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != download.sha256:
        path.unlink()  # nothing of a wrong file can be used
        raise DataError(f"expected a file with SHA-256 {download.sha256}, received one with {found}")


def _unpack(archive: Path) -> None:
    """Extract the three splits beside the archive, without the paths and permissions in it; remove the archive."""
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = member.name.rpartition("/")[2]
                content = members.extractfile(member) if name in WANTED else None
                if content is not None:
                    with written_atomically(archive.parent / name) as stream:
                        shutil.copyfileobj(content, stream)
    except WriteError:
        raise
    except (tarfile.TarError, EOFError, OSError) as error:
        archive.unlink(missing_ok=True)
        raise DataError(f"{archive.name}: not a complete archive ({error}).") from error
    archive.unlink()


def _get_names(published: PublishedSet, folder: Path) -> None:
    for download in published.texts:
        try:
            _get(download, folder)
        except DataError as error:
            warnings.warn(f"{published.name}: no readable names, identifiers are used. {error}", stacklevel=2)


class _Progress:
    """A progress line on a terminal; silent elsewhere."""

    def __init__(self, name: str, start: int, total: int | None) -> None:
        self._name, self._first, self._total = name, start, total
        self._begun = self._updated = time.monotonic()
        self._wanted = sys.stderr.isatty()

    def show(self, received: int) -> None:
        now = time.monotonic()
        if not self._wanted or now - self._updated < 0.1:
            return
        self._updated = now
        rate = max(received - self._first, 1) / (now - self._begun)
        text = f"\r{self._name}: {received / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s"
        if self._total is not None:
            text += f", {received / self._total:.0%}, {(self._total - received) / rate:.0f} s left"
        sys.stderr.write(f"{text}   ")
        sys.stderr.flush()

    def end(self) -> None:
        if self._wanted:
            sys.stderr.write("\n")
