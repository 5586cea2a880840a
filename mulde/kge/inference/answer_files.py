"""Files of answers: parts that are written atomically, then joined to one file, as CSV, tab-separated text or Parquet.

Tab-separated text has the quotes of CSV. Names are unchanged, also those that a spreadsheet would take for formulas.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kge_data.formats import csv
from mulde.errors import MissingExtra, UsageError
from mulde.files import write_atomically, written_atomically

Table = Mapping[str, Sequence[Any]]  # column -> values; None for a missing value
ENDINGS = (".csv", ".tsv", ".parquet")
NUMBERS = {"row": "int64", "rank": "int32", "score": "float64", "distance": "float64", "probability": "float64"}


def check_ending(path: Path) -> None:
    """Raise UsageError if a table cannot be written to a file of this name."""
    if path.suffix not in ENDINGS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}, which sets the format")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise MissingExtra(
                f"{path}: Parquet needs the package pyarrow; `pip install mulde[parquet]`, or choose CSV"
            ) from None


def write_table(path: Path, table: Table) -> None:
    """Write a whole table to a new file, atomically; the suffix sets the format.

    Raises
    ------
    UsageError
        If it exists.
    """
    write_atomically(path, _head(table, path.suffix) + _body(table, path.suffix), new=True)


def write_part(path: Path, table: Table) -> None:
    """Write some rows, atomically; the suffix sets the format."""
    write_atomically(path, _body(table, path.suffix))


def join(parts: Sequence[Path], columns: Sequence[str], out: Path) -> None:
    """Concatenate parts to one new file, atomically.

    Raises
    ------
    UsageError
        If it exists.
    """
    with written_atomically(out, new=True) as stream:
        if out.suffix == ".parquet":
            from pyarrow import parquet

            with parquet.ParquetWriter(stream, _arrow({name: [] for name in columns}).schema) as writer:
                for part in parts:
                    writer.write_table(parquet.read_table(part))
            return
        stream.write(_head(columns, out.suffix))
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, stream, 1 << 20)


def _head(columns: Iterable[str], suffix: str) -> bytes:
    """The first line of a text file; a Parquet file has none."""
    return b"" if suffix == ".parquet" else _lines([list(columns)], suffix)


def _body(table: Table, suffix: str) -> bytes:
    """The rows of a text file, or a Parquet file."""
    if suffix != ".parquet":
        return _lines(zip(*(_texts(name, values) for name, values in table.items()), strict=True), suffix)
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(_arrow(table), stream)
    return stream.getvalue()


def _arrow(table: Table) -> Any:
    import pyarrow as arrow

    kinds = {name: getattr(arrow, NUMBERS.get(name, "string"))() for name in table}
    return arrow.table({name: arrow.array(values, kinds[name]) for name, values in table.items()})


def _texts(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """A column for a text file; floats with seven digits."""
    if NUMBERS.get(name) == "float64":
        return ["" if value is None else f"{value:.7g}" for value in values]
    return values


def _lines(rows: Iterable[Sequence[Any]], suffix: str) -> bytes:
    return csv.written(rows, "," if suffix == ".csv" else "\t").encode()
