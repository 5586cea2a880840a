"""Pictures as files, of every kind that tests need."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Image: Any = pytest.importorskip("PIL.Image")


def corner(width: int = 4, height: int = 6) -> np.ndarray:
    """An RGB picture whose first row is red, whose first column is blue and whose first pixel is white."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[0, :, 0], pixels[:, 0, 2], pixels[0, 0] = 255, 255, 255
    return pixels


def encoded(pixels: np.ndarray | Any, kind: str = "PNG", **options: Any) -> bytes:
    """A file of pixels (h, w[, c]) or of a picture of Pillow."""
    picture = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def turned(pixels: np.ndarray, orientation: int, kind: str = "PNG") -> bytes:
    """A file whose stored pixels are these and whose EXIF orientation says how they are shown."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, kind, exif=exif.tobytes())


def deep_colour(values: np.ndarray) -> bytes:
    """A PNG of 16 bits per channel, which Pillow does not write; values (h, w, 3)."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def plain(value: int = 9, size: tuple[int, int] = (4, 4)) -> bytes:
    """A PNG of one colour; size: columns and rows."""
    return encoded(np.full((size[1], size[0], 3), value, np.uint8))


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """The folder with these files, by their names."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
