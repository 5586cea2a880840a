"""Weights of 8 bits: every table of two or more axes as integers with one scale for each row of its first axis.

    w[i] ≈ scale[i] · q[i],   q[i] in -127 … 127,   scale[i] = max|w[i]| / 127

These are the weights of convolutions and linear layers, with a scale for each output channel. Biases and
normalisation keep their precision. Tables are converted back when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Stored = Literal["float32", "float16", "int8"]
SCALE = ":scale"  # end of the name of a table of scales; names of parameters contain no colon


def narrowed(tables: Mapping[str, Tensor], stored: Stored) -> dict[str, Tensor]:
    """Tables as they are stored; integer and boolean ones are kept.

    Raises
    ------
    ValueError
        If a value is not finite, or too large for 16 bits.
    """
    found: dict[str, Tensor] = {}
    for name, table in tables.items():
        if not table.is_floating_point() or stored == "float32":
            found[name] = table
        elif stored == "float16":
            found[name] = table.half()
            if not found[name].isfinite().all():
                raise ValueError(f"{name} has values above 65,504, which float16 cannot hold")
        elif table.ndim < 2:
            found[name] = table.float()
        else:
            found[name], found[name + SCALE] = _to_int8(table)
    return found


def _to_int8(table: Tensor) -> tuple[Tensor, Tensor]:
    """A table (n, ...) as int8 and float32 scales (n,); the scale of a zero row is 1."""
    rows = table.flatten(1).float()
    largest = rows.abs().amax(1) if rows.shape[1] else rows.new_zeros(len(rows))
    scale = torch.where(largest > 0, largest / 127, 1.0)
    return (rows / scale.unsqueeze(1)).round().clamp(-127, 127).to(torch.int8).view(table.shape), scale
