"""The header of a safetensors file: names, types and shapes of the tables, known before any of them is read.

    8 bytes      length n of the header, little endian
    n bytes      JSON: name -> dtype, shape, data_offsets (begin, end) in the rest; and __metadata__
    the rest     the tables, one after the other without gaps

Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from mulde import schema
from mulde.errors import UsageError
from mulde.schema.contents import HEADER
from mulde.storage.archive import Checked

BYTES = {"F16": 2, "F32": 4, "F64": 8, "I8": 1, "I64": 8, "BOOL": 1}
OF_GRAPHS = ("F16", "F32", "F64", "I8", "BOOL")  # types of tables in models of graphs
LONGEST = 1 << 20


@dataclass(frozen=True)
class Table:
    """A table in a safetensors file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


def read_header(stream: Checked, where: str, types: Collection[str] = OF_GRAPHS, most_axes: int = 3) -> list[Table]:
    """The tables in the order of the file; the stream is left at the first one.

    Parameters
    ----------
    types
        Types that tables may have, of `BYTES`.
    most_axes
        Most axes that a table may have.

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
    expected = f"of {', '.join(types)} and to take the bytes of its shape"
    for name, entry in sorted(content.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (begin, after) = tuple(entry["shape"]), entry["data_offsets"]
        size = math.prod(shape[:most_axes]) * BYTES.get(entry["dtype"], 0)
        if len(shape) > most_axes or entry["dtype"] not in types or (begin, after) != (end, end + size):
            raise UsageError(
                f"{where}: expected the table {schema.shown(name)} to be {expected}, found "
                f"{schema.shown(entry['dtype'])} and {list(shape[: most_axes + 1])} in bytes {begin} to {after}; "
                f"{schema.DAMAGED}"
            )
        tables.append(Table(name, entry["dtype"], shape, size))
        end = after
    if 8 + length + end != stream.size:
        raise UsageError(
            f"{where}: its header describes {8 + length + end:,} bytes, and the file has {stream.size:,}; "
            f"{schema.DAMAGED}"
        )
    return tables
