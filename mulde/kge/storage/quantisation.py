"""Quantised tables: 16-bit floats, or entities as 8-bit integers with one scale per row.

    entity[i] ≈ scale[i] · q[i],   q[i] in -127 … 127,   scale[i] = max|entity[i]| / 127

Tables are converted back to the model's precision when they are read (``weights.py``), so the opened model is ranked as
it was stored.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Stored = Literal["float16", "float32", "int8"]
QUANTISED, SCALE = "entity", "entity:scale"  # names of parameters contain no colon


def narrow(tables: dict[str, Tensor], stored: Stored | None) -> dict[str, Tensor]:
    """Tables as they are stored; integer and boolean ones are kept.

    Parameters
    ----------
    tables
        Parameters and buffers by name.
    stored
        ``"float16"`` or ``"float32"`` for all floating tables; ``"int8"`` for the entities, and float16 for all others;
        None keeps every table.
    """
    if stored is None:
        return tables
    if stored != "int8":
        dtype = getattr(torch, stored)
        return {name: table.to(dtype) if table.is_floating_point() else table for name, table in tables.items()}
    others = {name: table for name, table in tables.items() if name != QUANTISED}
    integers, scale = rows_to_int8(tables[QUANTISED])
    return {**narrow(others, "float16"), QUANTISED: integers, SCALE: scale}


def rows_to_int8(table: Tensor) -> tuple[Tensor, Tensor]:
    """A table (n, d) as int8 (n, d) and float32 scales (n,); the scale of a zero row is 1."""
    largest = table.abs().amax(1).float()
    scale = torch.where(largest > 0, largest / 127, 1.0)
    return (table / scale.unsqueeze(1)).round().clamp(-127, 127).to(torch.int8), scale
