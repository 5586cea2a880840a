"""Reading tables of weights from a file into tensors that exist already, in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mulde import schema
from mulde.errors import UsageError
from mulde.storage.archive import Checked
from mulde.storage.header import Table

TYPES = {"F16": torch.float16, "F32": torch.float32, "F64": torch.float64, "I8": torch.int8, "I64": torch.int64,
         "BOOL": torch.uint8}  # fmt: skip


def fill(target: Tensor, table: Table, stream: Checked, where: str) -> None:
    """Copy a table of a file into a flat tensor."""
    start = 0
    for block in _whole_values(stream.blocks(table.bytes), TYPES[table.dtype].itemsize):
        values = torch.frombuffer(block, dtype=TYPES[table.dtype])
        target[start : start + len(values)] = values.bool() if table.dtype == "BOOL" else values
        start += len(values)
    if start < len(target):
        raise UsageError(f"{where}: expected {len(target):,} values in {table.name}, found {start:,}; {schema.DAMAGED}")


def _whole_values(blocks: Iterator[bytes], size: int) -> Iterator[bytearray]:
    """Blocks that end between values of some bytes."""
    rest = bytearray()
    for block in blocks:
        rest += block
        whole = len(rest) - len(rest) % size
        if whole:
            yield rest[:whole]
            rest = rest[whole:]
