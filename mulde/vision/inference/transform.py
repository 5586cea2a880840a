"""From a picture to the input of a student: one form, size and normalisation, as in its training. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mulde.errors import UsageError
from mulde.vision.pictures.files import DataFile
from mulde.vision.pictures.reading import Pixels, as_file, as_pixels, pillow, read_pixels

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Transform:
    """The input of a student.

    uint8 ─▶ grey or RGB ─▶ size, averaged over areas where it shrinks ─▶ / 255 ─▶ (x - mean) / deviation
    """

    channels: int
    """1 for grey, 3 for colour."""
    size: tuple[int, int] | None
    """Rows and columns; None: those of the picture."""
    mean: tuple[float, ...]
    """Mean of every channel."""
    deviation: tuple[float, ...]
    """Deviation of every channel."""

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Transform:
        """The input of a student with this ``model.json``."""
        given, scale = description["input"], description["normalisation"]
        size = given["size"]
        return cls(
            given["channels"],
            None if size is None else (size[0], size[1]),
            tuple(map(float, scale["mean"])),
            tuple(map(float, scale["deviation"])),
        )

    def read(self, file: DataFile) -> tuple[Pixels, tuple[int, int]]:
        """A picture in a file as uint8 in the form and size of the input, and its own rows and columns.

        Raises
        ------
        BrokenPicture
            Where it cannot be read.
        """
        pixels, header = read_pixels(file, self._columns_and_rows, self.channels == 1)
        return pixels, (header.size[1], header.size[0])

    def array(self, picture: Any) -> Array:
        """A picture as the input of the network.

        Parameters
        ----------
        picture
            A picture of Pillow, a path, or uint8 (h, w) or (h, w, 3).

        Returns
        -------
        (channels, h, w) float32.

        Raises
        ------
        UsageError
            Where it is none of these.
        """
        if isinstance(picture, str | Path):
            return self.normalised(self.read(as_file(picture))[0])
        if isinstance(picture, np.ndarray):
            lawful = picture.dtype == np.uint8 and (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3))
            if not lawful:
                raise UsageError(
                    f"expected a picture as uint8 (h, w) or (h, w, 3), got {picture.dtype} {picture.shape}"
                )
            picture = pillow().fromarray(picture)
        if not hasattr(picture, "convert"):
            raise UsageError(f"expected a picture of Pillow, a path or a uint8 array, got {type(picture).__name__}")
        return self.normalised(as_pixels(picture, self._columns_and_rows, self.channels == 1))

    def normalised(self, pixels: Pixels) -> Array:
        """uint8 (h, w) or (h, w, 3) -> float32 (channels, h, w)."""
        values = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        mean, deviation = (np.array(scale, np.float32)[:, None, None] for scale in (self.mean, self.deviation))
        return np.asarray((values.astype(np.float32) / np.float32(255) - mean) / deviation, np.float32)

    @property
    def _columns_and_rows(self) -> tuple[int, int] | None:
        return None if self.size is None else (self.size[1], self.size[0])
