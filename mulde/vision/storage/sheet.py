"""Sheets: pictures of a run in one PNG file, for example those that a generator has made."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from torch import Tensor

from mulde.files import write_atomically
from mulde.vision.pictures.reading import pillow

FOLDER = "pictures"
"""Folder of the sheets in a run."""
LEAST = 32  # rows and columns of a picture on a sheet; smaller ones are enlarged


def write_sheet(path: Path, pictures: Tensor) -> None:
    """Write pictures side by side.

    Parameters
    ----------
    path
        The PNG file.
    pictures
        (n, channels, h, w) in [0, 1]; one or three channels.
    """
    columns = math.ceil(math.sqrt(2 * len(pictures)))
    factor = math.ceil(LEAST / pictures.shape[-1])
    large = pictures.repeat_interleave(factor, 2).repeat_interleave(factor, 3).expand(-1, 3, -1, -1)
    framed = torch.nn.functional.pad(large, (1, 1, 1, 1), value=1.0)
    rows = [torch.cat(list(row), 2) for row in framed.split(columns)]
    rows[-1] = torch.nn.functional.pad(rows[-1], (0, rows[0].shape[2] - rows[-1].shape[2]), value=1.0)
    pixels = (255 * torch.cat(rows, 1)).round().byte().permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    pillow().fromarray(pixels).save(stream, "PNG")
    write_atomically(path, stream.getvalue())
