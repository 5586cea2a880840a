"""The header of a safetensors file: names, types and shapes of the tables, known before any of them is read.

    8 bytes      length n of the header, little endian
    n bytes      JSON: name -> dtype, shape, data_offsets (begin, end) in the rest; and __metadata__
    the rest     the tables, one after the other without gaps

Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mulde import schema
from mulde.errors import UsageError
from mulde.kge.storage.archive import Checked
from mulde.schema.contents import HEADER

BYTES = {"F16": 2, "F32": 4, "F64": 8, "I8": 1, "BOOL": 1}  # the types that `quantisation.py` writes
LONGEST = 1 << 20
ENTITY, RELATION = "entity", "relation."  # names of tables in ``KGEModel``


@dataclass(frozen=True)
class Table:
    """A table in a safetensors file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


def read_header(stream: Checked, where: str) -> list[Table]:
    """The tables in the order of the file; the stream is left at the first one.

    Raises
    ------
    UsageError
        If the header is damaged, or its sizes do not add up to that of the file.
    """
    length = int.from_bytes(stream.read(8), "little")
    if not 0 < length <= min(LONGEST, stream.size - 8):
        raise UsageError(f"{where}: expected a safetensors file, found a header of {length:,} bytes; {schema.DAMAGED}")
    content = schema.load(stream.read(length), where)
    content.pop("__metadata__", None)
    schema.check(content, where, HEADER)
    tables, end = [], 0
    for name, entry in sorted(content.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (begin, after) = tuple(entry["shape"]), entry["data_offsets"]
        size = math.prod(shape[:3]) * BYTES.get(entry["dtype"], 0)
        if len(shape) > 3 or entry["dtype"] not in BYTES or (begin, after) != (end, end + size):
            raise UsageError(
                f"{where}: expected the table {schema.shown(name)} to be of {', '.join(BYTES)} and to take the bytes "
                f"of its shape, found {schema.shown(entry['dtype'])} and {list(shape[:4])} in bytes {begin} to {after}"
                f"; {schema.DAMAGED}"
            )
        tables.append(Table(name, entry["dtype"], shape, size))
        end = after
    if 8 + length + end != stream.size:
        raise UsageError(
            f"{where}: its header describes {8 + length + end:,} bytes, and the file has {stream.size:,}; "
            f"{schema.DAMAGED}"
        )
    return tables


def refuse_other_sizes(tables: list[Table], sizes: Mapping[str, Any], where: str) -> None:
    """Raise UsageError if tables are not of a model with these sizes, as in ``model.json``."""
    expected = sizes["num_entities"], sizes["model"]["dim"]
    found = {table.name: table.shape for table in tables}
    rows = {shape[:1] for name, shape in found.items() if name.startswith(RELATION)}
    if found.get(ENTITY) != expected or rows - {(2 * sizes["num_relations"],)}:
        raise UsageError(
            f"{where}: expected weights of {expected[0]} entities with {expected[1]} dimensions and "
            f"{sizes['num_relations']} relations, found {found.get(ENTITY)} for entities and {sorted(rows)} for "
            f"relations in both directions; {schema.DAMAGED}"
        )
