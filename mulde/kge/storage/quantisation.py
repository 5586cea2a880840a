"""Tables at fewer bits: 16-bit floats, or entities as 8-bit integers with one scale per row.

    entity[i] ≈ scale[i] · q[i],   q[i] in -127 … 127,   scale[i] = max|entity[i]| / 127

Scores are computed from the widened tables in the model's own precision, so ranking the model that is opened again is
ranking on the quantised table.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Stored = Literal["float16", "float32", "int8"]
QUANTISED, SCALE = "entity", "entity:scale"  # no parameter's name holds a colon


def narrow(tables: dict[str, Tensor], stored: Stored | None) -> dict[str, Tensor]:
    """Tables as they are stored: floating ones as float16 or float32; for int8 the entities, all others as float16.

    What is not floating stays as it is.
    """
    if stored is None:
        return tables
    if stored != "int8":
        fewer = getattr(torch, stored)
        return {name: table.to(fewer) if table.is_floating_point() else table for name, table in tables.items()}
    others = {name: table for name, table in tables.items() if name != QUANTISED}
    whole, scale = rows_to_int8(tables[QUANTISED])
    return {**narrow(others, "float16"), QUANTISED: whole, SCALE: scale}


def widen(tables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tables as a model takes them: integers times their scales; floats are converted when they are copied."""
    if SCALE not in tables:
        return tables
    others = {name: table for name, table in tables.items() if name != SCALE}
    return {**others, QUANTISED: tables[QUANTISED].to(torch.float32) * tables[SCALE].unsqueeze(1)}


def rows_to_int8(table: Tensor) -> tuple[Tensor, Tensor]:
    """A table (n, d) as int8 (n, d) and float32 scales (n,); a row of zeros has the scale 1."""
    largest = table.abs().amax(1).float()
    scale = torch.where(largest > 0, largest / 127, 1.0)
    return (table / scale.unsqueeze(1)).round().clamp(-127, 127).to(torch.int8), scale
