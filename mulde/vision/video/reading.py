"""Frames of a video file, a folder of pictures, or memory.

Every source can be iterated from any frame on, so that an interrupted stream continues:

    for image in source.frames(start=120): ...        uint8 (h, w, 3), RGB
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError, missing
from mulde.vision.pictures.class_maps import VOID, Coding, class_map
from mulde.vision.pictures.files import DataFile, frames_in
from mulde.vision.pictures.reading import as_file, read_header, read_pixels

Image = NDArray[np.uint8]
"""(h, w, 3), RGB."""
ClassMap = NDArray[np.int64]
"""(h, w), a class per pixel, -1 where unknown."""


class Video(Protocol):
    """Frames of one size."""

    @property
    def rate(self) -> Fraction:
        """Frames per second."""

    def frames(self, start: int = 0) -> Iterator[Image]:
        """The frames from number `start` on."""

    def checksum(self) -> str:
        """SHA-256 of the source of the frames."""


@dataclass(frozen=True)
class LabelledVideo:
    """Frames in memory with the true class of every pixel."""

    images: NDArray[np.uint8]
    """(n, h, w, 3)."""
    labels: NDArray[np.int64]
    """(n, h, w), 0 the background, -1 unknown."""
    classes: int
    """Number of classes, the background included."""
    seed: int = 0
    """Seed of the initial weights of a student on this video."""
    rate: Fraction = Fraction(25)
    """Frames per second."""

    def __len__(self) -> int:
        return len(self.images)

    def frames(self, start: int = 0) -> Iterator[Image]:
        """The frames from number `start` on."""
        return iter(self.images[start:])

    def checksum(self) -> str:
        """SHA-256 over frames and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


class PictureFolder:
    """A folder whose pictures are the frames, in natural order of their names: 2.png before 10.png."""

    def __init__(self, path: Path, height: int | None = None, rate: Fraction = Fraction(25)) -> None:
        """height: rows of every frame after scaling; None: no scaling."""
        self.files = frames_in(path)
        self.height, self.rate = height, rate
        if not self.files:
            raise UsageError(f"{path}: no pictures; expected frames as 00000.jpg, 00001.jpg, ...")

    def frames(self, start: int = 0) -> Iterator[Image]:
        """The frames from number `start` on.

        Raises
        ------
        UsageError
            Where one has another size than the first.
        """
        first: tuple[int, ...] | None = None
        for file in self.files[start:]:
            image = _read(file, self.height)
            first = first or image.shape
            if image.shape != first:
                came, others = (" x ".join(map(str, shape[:2])) for shape in (image.shape, first))
                raise UsageError(f"{file.path} has {came} pixels, the frames before have {others}")
            yield image

    def checksum(self) -> str:
        """SHA-256 over the files."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(Path(file.path).read_bytes())
        return digest.hexdigest()


class VideoFile:
    """A video file, decoded by PyAV."""

    def __init__(self, path: Path, height: int | None = None) -> None:
        """height: rows of every frame after scaling; None: no scaling."""
        self.path, self.height = path, height
        with self._opened() as container:
            self.rate = container.streams.video[0].average_rate or Fraction(25)

    def _opened(self) -> Any:
        container = pyav().open(str(self.path))
        if not container.streams.video:
            raise UsageError(f"{self.path}: has no video, only {', '.join(s.type for s in container.streams)}")
        return container

    def frames(self, start: int = 0) -> Iterator[Image]:
        """The frames from number `start` on; the frames before are decoded and skipped, so that numbers are exact.

        Raises
        ------
        UsageError
            Where the file is damaged.
        """
        number = 0
        try:
            with self._opened() as container:
                for frame in container.decode(video=0):
                    if number >= start:
                        height = self.height or frame.height
                        width = frame.width if self.height is None else _even(frame.width * height / frame.height)
                        yield frame.reformat(width, height, "rgb24").to_ndarray()
                    number += 1
        except pyav().error.FFmpegError as error:
            raise UsageError(f"{self.path}: cannot be decoded after {number} frames ({error.strerror})") from error

    def checksum(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def open_video(path: Path, height: int | None = None) -> PictureFolder | VideoFile:
    """A video file or a folder of frames.

    Raises
    ------
    UsageError
        Where it is neither, or without PyAV.
    """
    if height is not None and height < 1:
        raise UsageError(f"a frame needs at least one row; got height {height}")
    if path.is_dir():
        return PictureFolder(path, height)
    if not path.exists():
        raise UsageError(f"{path} does not exist; name a video file or a folder of frames")
    av = pyav()
    try:
        return VideoFile(path, height)
    except av.error.FFmpegError as error:
        raise UsageError(f"{path}: expected a video file or a folder of frames, but {error.strerror}") from error


def read_picture(file: Path, height: int | None = None) -> Image:
    """A picture as RGB, upright; height: rows after scaling. Raises BrokenPicture."""
    return _read(as_file(file), height)


def read_class_map(
    file: Path, size: tuple[int, int] | None = None, void: int | None = VOID, binary: bool = False
) -> ClassMap:
    """A picture whose pixels are class ids as (h, w).

    Parameters
    ----------
    size
        Rows and columns that it is brought to.
    void
        Value of pixels without a class, which become -1; None: there is none.
    binary
        Whether 255 is class 1, as in masks of one object.
    """
    return class_map(as_file(file), None, None if size is None else size[::-1], Coding(void, binary))


def _read(file: DataFile, height: int | None) -> Image:
    size = None
    if height is not None:
        width, rows = read_header(file).size
        size = None if rows == height else (_even(width * height / rows), height)
    return read_pixels(file, size)[0]


def pyav() -> Any:
    """The package av.

    Raises
    ------
    UsageError
        Where it is missing.
    """
    try:
        import av
        import av.error
    except ImportError as error:
        raise missing("video files are read and written with PyAV", "video") from error
    return av


def _even(length: float) -> int:
    """The nearest even number, because encoders need whole colour blocks."""
    return max(2, 2 * round(length / 2))
