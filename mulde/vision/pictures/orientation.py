"""EXIF orientation: how a picture is turned upright, and its boxes and masks with it.

The tag says where the first row and column of the stored picture belong: 1 is upright, 2 to 4 are mirrored or turned by
180 degrees, 5 to 8 exchange rows and columns (EXIF 2.32, section 4.6.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Corners = tuple[float, float, float, float]
"""left, top, right, bottom in pixels."""
Size = tuple[int, int]
"""Columns and rows, as Pillow has them."""
TAG = 0x0112


def orientation_of(picture: Any) -> int:
    """The tag of a picture of Pillow, 1 to 8; 1 where it has none or its EXIF data are damaged."""
    try:
        tag = picture.getexif().get(TAG, 1)
    except Exception:  # EXIF data are written by anything; Pillow raises errors of many kinds
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1


def upright_size(size: Size, orientation: int) -> Size:
    """Size of a stored picture after it was turned."""
    return (size[1], size[0]) if orientation >= 5 else size


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Stored pixels (h, w, ...) turned upright."""
    turned = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: x[::-1].swapaxes(0, 1),
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: x[:, ::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(turned[orientation](pixels))


def upright_boxes(boxes: Iterable[Corners], size: Size, orientation: int) -> list[Corners]:
    """Boxes on the stored picture of this size, turned with it."""
    width, height = size
    found = []
    for left, top, right, bottom in boxes:
        if orientation in (2, 3, 7, 8):
            left, right = width - right, width - left
        if orientation in (3, 4, 6, 7):
            top, bottom = height - bottom, height - top
        found.append((top, left, bottom, right) if orientation >= 5 else (left, top, right, bottom))
    return found


def is_upright(stated: Size | None, stored: Size, orientation: int) -> bool:
    """Whether annotations already refer to the upright picture: they state its size, which is not the stored one."""
    return orientation == 1 or (stated is not None and stated != stored == upright_size(stated, orientation))
