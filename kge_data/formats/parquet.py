"""Parquet (.parquet), read by pyarrow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kge_data.errors import DataError
from kge_data.formats._compressed import opened
from kge_data.formats._reading import ROWS_PER_BLOCK
from kge_data.layout import Layout
from kge_data.numbering import Columns

ENDINGS = (".parquet",)


def first_row(path: Path) -> list[str]:
    """The names of the columns."""
    with opened_file(path) as file:
        names: list[str] = file.schema_arrow.names
    return names


def read(path: Path, layout: Layout) -> Iterator[Columns]:
    """The triples of a file, block by block. Columns hold text, or integers, which become text.

    Raises
    ------
    DataError
        If a column holds something else, or a value is missing or empty.
    """
    fields = [layout.names[place] for place in layout.places]
    with opened_file(path) as file:
        _check_types(file.schema_arrow, fields, path)
        row = 0
        for batch in file.iter_batches(ROWS_PER_BLOCK, columns=fields):
            heads, relations, tails = (_texts(batch.column(name)) for name in fields)
            _check(fields, (heads, relations, tails), path, row)
            row += len(heads)
            yield heads, relations, tails


@contextmanager
def opened_file(path: Path) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`, also of a compressed file.

    Raises
    ------
    DataError
        If pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs the package pyarrow; `pip install pyarrow`.") from None
    try:
        with opened(path) as stream:
            # Parquet is read from its end, but a decompressed stream cannot be read backwards
            yield parquet.ParquetFile(stream if path.suffix == ".parquet" else io.BytesIO(stream.read()))
    except arrow.ArrowInvalid as error:
        raise DataError(f"{path}: not a complete Parquet file ({error}); write or copy it again.") from error


def _check_types(schema: Any, fields: list[str], path: Path) -> None:
    from pyarrow import types

    for name in fields:
        kind = schema.field(name).type
        inner = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(inner) or types.is_large_string(inner) or types.is_integer(inner)):
            raise DataError(f"{path}: column {name} holds {kind}; expected text (or integers). Convert it to text.")


def _texts(column: Any) -> list[str]:
    import pyarrow as arrow

    texts: list[str] = column.cast(arrow.string()).to_pylist()
    return texts


def _check(names: list[str], columns: Columns, path: Path, first_row: int) -> None:
    if all(map(all, columns)):
        return
    number, row = next((number, row) for number, row in enumerate(zip(*columns, strict=True), 1) if not all(row))
    name = next(name for name, text in zip(names, row, strict=True) if not text)
    raise DataError(
        f"{path}, row {first_row + number}: {name} is missing or empty: {', '.join(map(repr, row))}; "
        f"give it a label or remove the row."
    )
