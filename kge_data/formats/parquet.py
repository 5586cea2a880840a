"""Parquet (.parquet), read by pyarrow."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kge_data.errors import DataError
from kge_data.formats._compressed import opened
from kge_data.formats._reading import ROWS_PER_BLOCK
from kge_data.numbering import Columns
from kge_data.tripleset import HEADERS

ENDINGS = (".parquet",)


def read(path: Path, names: dict[str, str]) -> Iterator[Columns]:
    """The triples of a file, block by block; such files hold no readable names.

    The columns are called head, relation, tail or subject, predicate, object, among any others; or they are
    the only three, in this order. They hold text, or integers, which become text.

    Raises
    ------
    DataError
        If the columns are others, or a value is missing or empty.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs the package pyarrow; `pip install pyarrow`.") from None
    try:
        with opened(path) as stream:
            # Parquet is read from its end, but a decompressed stream cannot be read backwards
            file = parquet.ParquetFile(stream if path.suffix == ".parquet" else io.BytesIO(stream.read()))
            fields = _triple_columns(file.schema_arrow, path)
            row = 0
            for batch in file.iter_batches(ROWS_PER_BLOCK, columns=fields):
                heads, relations, tails = (_texts(batch.column(name)) for name in fields)
                _check(fields, (heads, relations, tails), path, row)
                row += len(heads)
                yield heads, relations, tails
    except arrow.ArrowInvalid as error:
        raise DataError(f"{path}: not a complete Parquet file ({error}); write or copy it again.") from error


def _triple_columns(schema: Any, path: Path) -> list[str]:
    from pyarrow import types

    plain = {name.strip().casefold(): name for name in schema.names}
    named = [[plain[part] for part in header] for header in HEADERS if all(part in plain for part in header)]
    if not named and len(schema.names) != 3:
        raise DataError(
            f"{path}: expected the columns head, relation and tail, found {', '.join(schema.names)}; rename them."
        )
    names: list[str] = named[0] if named else schema.names
    for name in names:
        kind = schema.field(name).type
        inner = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(inner) or types.is_large_string(inner) or types.is_integer(inner)):
            raise DataError(f"{path}: column {name} holds {kind}; expected text (or integers). Convert it to text.")
    return names


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
