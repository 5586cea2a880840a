"""Listing of the pictures in a folder or a zip archive.

Files that systems and tools leave behind (`.DS_Store`, `._photo.jpg`, `__MACOSX`, `.ipynb_checkpoints`) are skipped.
Links to folders are followed.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO

from mulde.errors import UsageError
from mulde.vision.pictures.wording import are

PICTURES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".bmp",
    ".gif",
    ".webp",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".tif",
    ".tiff",
    ".avif",
    ".jp2",
    ".tga",
}
"""Suffixes of pictures, in lower case."""
NOT_READ = {
    ".heic",
    ".heif",
    ".jxl",
    ".raw",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".dng",
    ".orf",
    ".rw2",
    ".psd",
    ".svg",
    ".exr",
    ".dcm",
}
"""Suffixes of pictures that are not read; a listing counts them."""
LEFT_BEHIND = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file in a folder or in a zip archive."""

    path: str
    """The file, or the archive."""
    name: str
    """Name relative to the folder or archive, with /; messages show it."""
    member: str | None = None
    """Name in the archive as it is stored there."""

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes of the file."""
        if self.member is None:
            with Path(self.path).open("rb") as stream:
                yield stream
        else:
            with _archive(self.path).open(self.member) as stream:
                yield stream

    def text(self) -> str:
        """The file as text in UTF-8, with or without a byte order mark.

        Raises
        ------
        UsageError
            Where it is no such text or cannot be read.
        """
        try:
            with self.open() as stream:
                return stream.read().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as error:
            raise UsageError(f"{self.place}: expected text in UTF-8, but {error}") from error

    @property
    def place(self) -> str:
        """Path for messages."""
        return self.path if self.member is None else f"{self.path}: {self.name}"


@dataclass(frozen=True)
class Listing:
    """What is in a folder or archive."""

    pictures: list[DataFile]
    """Pictures, sorted by name."""
    others: dict[str, DataFile] = field(default_factory=dict)
    """The other files by name."""
    folders: set[str] = field(default_factory=set)
    """All folders, those without files included."""

    @property
    def notes(self) -> list[str]:
        """A sentence for pictures in formats that are not read."""
        counts = Counter(PurePosixPath(name).suffix.lower() for name in self.others)
        return [f"{are(counts[suffix], f'{suffix} file')} not read" for suffix in sorted(NOT_READ & counts.keys())]


def listed(path: Path) -> Listing:
    """The pictures in a folder, with all its subfolders, or in a zip archive.

    Raises
    ------
    UsageError
        Where the archive is damaged or encrypted, or a folder cannot be read.
    """
    return _in_folder(path) if path.is_dir() else _in_zip(path)


def frames_in(folder: Path) -> list[DataFile]:
    """The pictures directly in a folder in natural order: 2.png before 10.png."""
    try:
        files = [file for file in folder.iterdir() if is_picture(file.name) and file.is_file()]
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror}); expected a folder of pictures") from error
    return [DataFile(str(file), file.name) for file in sorted(files, key=lambda file: natural(file.name))]


def is_picture(name: str) -> bool:
    """Whether this name, relative to a folder and with /, is that of a picture and not hidden."""
    return PurePosixPath(name).suffix.lower() in PICTURES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether this name, relative to a folder and with /, has a component that systems and tools leave behind."""
    return any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in name.split("/"))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that orders numbers inside names by value; equal numbers by their text."""
    pieces = [piece for piece in re.split(r"(\d+)", name) if piece]
    keys = [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece.casefold()) for piece in pieces]
    return (*keys, (2, 0, name))


def _in_folder(path: Path) -> Listing:
    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename} cannot be read ({error.strerror})") from error

    found = Listing([])
    above: dict[str, frozenset[str]] = {str(path): frozenset()}  # real paths above each folder; a link may lead back
    for place, folders, files in os.walk(path, followlinks=True, onerror=refuse):
        real, over = os.path.realpath(place), above.pop(place)
        inside = os.path.relpath(place, path).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        folders[:] = sorted(name for name in folders if not is_hidden(name) and real not in over)
        above |= {os.path.join(place, name): over | {real} for name in folders}  # noqa: PTH118
        found.folders.update(prefix + name for name in folders)
        for name in files:
            if is_hidden(name):
                continue
            file = DataFile(os.path.join(place, name), prefix + name)  # noqa: PTH118
            if is_picture(name):
                found.pictures.append(file)
            else:
                found.others[file.name] = file
    found.pictures.sort(key=lambda file: file.name.split("/"))
    return found


def _in_zip(path: Path) -> Listing:
    try:
        members = _archive(str(path)).infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise UsageError(f"{path}: expected a zip archive of pictures, but {error}") from error
    found = Listing([])
    for member in members:
        name = member.filename.replace("\\", "/").removeprefix("./").strip("/")
        if is_hidden(name) or not name:
            continue
        parents = [str(parent) for parent in PurePosixPath(name).parents if str(parent) != "."]
        found.folders.update([*parents, name] if member.filename[-1] in "/\\" else parents)
        if member.filename[-1] in "/\\":
            continue
        if member.flag_bits & 1:
            raise UsageError(f"{path}: {name} is encrypted; expected an archive without a password")
        file = DataFile(str(path), name, member.filename)
        if is_picture(name):
            found.pictures.append(file)
        else:
            found.others[name] = file
    found.pictures.sort(key=lambda file: file.name.split("/"))
    return found


def _archive(path: str) -> zipfile.ZipFile:
    status = Path(path).stat()
    return _opened(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _opened(path: str, changed: int, size: int) -> zipfile.ZipFile:
    """The archive, opened once as long as it does not change."""
    return zipfile.ZipFile(path)
