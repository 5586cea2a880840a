"""Pictures as cameras and editors write them, brought to one form: upright, opaque, 8 bits, grey or RGB.

    EXIF orientation      the picture is turned
    transparency          it is laid on white
    16 bits               0 to 65,535 become 0 to 255; floating point is expected in [0, 1]
    palette, CMYK, ...    RGB
    several frames        the first

Sizes: rows and columns are averaged over areas where they shrink; the aspect ratio is not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError, missing
from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.orientation import Size, orientation_of, upright, upright_size

Pixels = NDArray[np.uint8]
"""(h, w) or (h, w, 3)"""


class BrokenPicture(UsageError):
    """A file that has the suffix of a picture and cannot be read as one.

    Parameters
    ----------
    sentence
        Which file, and why.
    advice
        What to do; a command with an option of its own says something else.
    """

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__(f"{sentence}; {advice}" if advice else sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture's file says about it."""

    stored: Size
    """Columns and rows before it is turned."""
    orientation: int
    """EXIF orientation, 1 to 8."""
    transparent: bool
    """Whether it has an alpha channel or a transparent colour."""
    deep: bool
    """Whether it has more than 8 bits."""

    @property
    def size(self) -> Size:
        """Columns and rows after it was turned."""
        return upright_size(self.stored, self.orientation)


def as_file(place: Path | str) -> DataFile:
    """A single file as the functions below take it."""
    return DataFile(str(place), Path(place).name)


def read_header(file: DataFile) -> Header:
    """Size, orientation and kind of a picture, without decoding it. Raises BrokenPicture."""
    with _opened(file) as picture:
        return _header(picture)


def read_pixels(file: DataFile, size: Size | None = None, grey: bool = False) -> tuple[Pixels, Header]:
    """A picture as uint8 (h, w, 3), or (h, w) if grey, and its header.

    Parameters
    ----------
    size
        Columns and rows that it is brought to; None: its own.
    grey
        Whether to convert it to one channel.

    Raises
    ------
    BrokenPicture
        Where the file is not a picture, damaged or cut short.
    """
    with _opened(file) as picture:
        header = _header(picture)
        if size is not None:
            picture.draft(None, (2 * max(size), 2 * max(size)))  # JPEG: decode at a fraction of the size
        return as_pixels(picture, size, grey), header


def as_pixels(picture: Any, size: Size | None = None, grey: bool = False) -> Pixels:
    """A picture of Pillow in the form above; arguments as for `read_pixels`."""
    Image = pillow()
    picture.load()
    orientation = orientation_of(picture)  # Pillow turns TIFF itself when it is loaded
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_eight_bits(picture))
    elif _transparent(picture):
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture = picture.convert("L" if grey else "RGB")
    if size is not None:
        stored = upright_size(size, orientation)
        if picture.size != stored:
            picture = picture.resize(stored, Image.Resampling.BOX)
    return upright(np.asarray(picture), orientation)


def read_ids(file: DataFile) -> tuple[NDArray[np.int64], Header]:
    """A picture whose pixels are class ids (h, w), turned upright by its own orientation, and its header.

    Ids are grey values, palette indices or, in a picture in colour, the value that all its channels have.

    Raises
    ------
    BrokenPicture
        Where it cannot be read.
    UsageError
        Where it is in colour.
    """
    with _opened(file) as picture:
        header = _header(picture)
        ids = np.asarray(picture)
        orientation = orientation_of(picture)  # as it is now: Pillow turns TIFF itself
    if ids.ndim == 3:
        colours = ids[..., : 1 if ids.shape[2] == 2 else 3]
        if (colours != colours[..., :1]).any():
            raise UsageError(
                f"{file.place} is in colour; expected a class id per pixel, as grey values or a palette, from 0"
            )
        ids = colours[..., 0]
    return upright(ids.astype(np.int64), orientation), header


def pillow() -> Any:
    """The module PIL.Image.

    Raises
    ------
    MissingExtra
        Where it is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("pictures are read with Pillow", "vision") from error
    return Image


@contextmanager
def _opened(file: DataFile) -> Iterator[Any]:
    Image = pillow()
    try:
        with file.open() as stream, Image.open(stream) as picture:
            yield picture
    except (MemoryError, UsageError):
        raise
    except Exception as error:  # decoders raise errors of many kinds: OSError, SyntaxError, struct.error, ...
        raise BrokenPicture(f"{file.place} cannot be read as a picture: {_reason(error, file)}") from error


def _reason(error: Exception, file: DataFile) -> str:
    Image = pillow()
    if not isinstance(error, Image.UnidentifiedImageError):
        return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
    with file.open() as stream:
        return "its format is unknown or its beginning is damaged" if stream.read(1) else "the file is empty"


def _header(picture: Any) -> Header:
    deep, orientation = picture.mode.startswith("I") or picture.mode == "F", orientation_of(picture)
    if picture.format == "TIFF" and orientation > 1:
        picture.load()  # which may turn it
        return Header(upright_size(_turned_size(picture), orientation), orientation, _transparent(picture), deep)
    return Header(picture.size, orientation, _transparent(picture), deep)


def _turned_size(picture: Any) -> Size:
    return upright_size(picture.size, orientation_of(picture))


def _transparent(picture: Any) -> bool:
    return picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info


def _eight_bits(picture: Any) -> Pixels:
    values = np.asarray(picture)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and values.min(initial=0) >= 0 and values.max(initial=0) <= top):
        expected = "floating point in [0, 1]" if picture.mode == "F" else "16 bits, 0 to 65535"
        raise ValueError(f"expected {expected}, got values from {values.min():g} to {values.max():g}")
    return np.asarray(np.rint(values * (255 / top)), np.uint8)
