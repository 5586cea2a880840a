"""Parquet (.parquet), read by pyarrow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from kge_data.columns import listed
from kge_data.errors import DataError
from kge_data.formats._compressed import opened, refuse_expansion
from kge_data.formats._reading import ROWS_PER_BLOCK, first_wrong_byte, quoted
from kge_data.layout import Layout
from kge_data.limits import limit
from kge_data.numbering import Columns
from kge_data.printing import one_line

ENDINGS = (".parquet",)
ROW_BYTES = 6  # of the shortest triple in text
SHOWN = 120  # characters of pyarrow's reason


def first_row(path: Path) -> list[str]:
    """The names of the columns."""
    with _opened(path) as (file, _):
        names: list[str] = file.schema_arrow.names
    return names


def num_rows(path: Path) -> int:
    """The number of rows."""
    with _opened(path) as (file, _):
        number: int = file.metadata.num_rows
    return number


def read(path: Path, layout: Layout) -> Iterator[Columns]:
    """The triples of a file, block by block.

    Raises
    ------
    DataError
        As `read_columns` does, and if a value is missing or empty.
    """
    row, fields = 0, [layout.names[place] for place in layout.places]
    for heads, relations, tails in read_columns(path, layout.places, ROWS_PER_BLOCK):
        if not (all(heads) and all(relations) and all(tails)):
            _refuse_missing(fields, (heads, relations, tails), path, row)
        row += len(heads)
        yield cast(Columns, (heads, relations, tails))


def read_columns(
    path: Path, places: Sequence[int], size: int, floats: bool = False
) -> Iterator[list[list[str | None]]]:
    """Some columns of a file as text, in blocks of at most `size` rows. Integers become text.

    Parameters
    ----------
    path
        The file.
    places
        Positions of the columns, from 0.
    size
        Most rows of a block.
    floats
        Accept floating-point numbers, which pandas makes of integers with missing values.

    Raises
    ------
    DataError
        If the file is damaged, or a column holds something else than text in UTF-8 and integers.
    """
    row = 0
    with _opened(path) as (file, source):
        schema = file.schema_arrow
        _check_columns(schema, places, path, floats)
        names = [schema.names[place] for place in places]
        earlier = [schema.names[:place].count(name) for place, name in zip(places, names, strict=True)]
        _refuse_long_texts(source, names, path)
        for batch in file.iter_batches(size, columns=[*dict.fromkeys(names)]):
            found = [batch.schema.get_all_field_indices(name) for name in names]
            columns = [batch.column(same[number]) for same, number in zip(found, earlier, strict=True)]
            yield [_texts(column, name, path, row) for column, name in zip(columns, names, strict=True)]
            row += batch.num_rows


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A `pyarrow.parquet.ParquetFile` and its stream, also of a compressed file; DataError if it cannot be read."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{path}: reading Parquet needs the package pyarrow; `pip install pyarrow`.") from None
    with opened(path) as stream:
        try:
            # Parquet is read from its end, but a decompressed stream cannot be read backwards
            source = stream if path.suffix in ENDINGS else io.BytesIO(stream.read())
            file = parquet.ParquetFile(source)
            refuse_expansion(path, ROW_BYTES * file.metadata.num_rows)
            yield file, source
        except DataError:
            raise
        except Exception as error:  # pyarrow has many, also those of Python, for damaged files
            reason = one_line(" ".join(str(error).split())[:SHOWN]) or type(error).__name__
            raise DataError(f"{path}: not a complete Parquet file ({reason}); write or copy it again.") from error


def _check_columns(schema: Any, places: Sequence[int], path: Path, floats: bool) -> None:
    from pyarrow import types

    for place in places:
        name, kind = schema.names[place], schema.field(place).type
        inner = kind.value_type if types.is_dictionary(kind) else kind
        texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_null)
        if not any(is_text(inner) for is_text in texts) and not (floats and types.is_floating(inner)):
            raise DataError(
                f"{path}: column {listed([name])} holds {listed([kind])}; expected text (or integers). Convert it to "
                "text."
            )


def _refuse_long_texts(source: Any, names: Sequence[str], path: Path) -> None:
    """Refuse a column whose dictionary holds a text longer than a line may be, because each row could repeat it."""
    from pyarrow import compute, parquet, types

    most = limit("KGE_DATA_LINE_MB")
    dictionaries = parquet.ParquetFile(source, read_dictionary=[*names])
    for group in range(dictionaries.num_row_groups):
        # a batch of one row comes with the whole dictionary
        first = next(dictionaries.iter_batches(1, row_groups=[group], columns=[*dict.fromkeys(names)]), None)
        for column in [] if first is None else first.columns:
            if not types.is_dictionary(column.type) or not len(column.dictionary):
                continue
            longest = compute.max(compute.binary_length(column.dictionary)).as_py() or 0
            if longest > most * (1 << 20):
                raise DataError(
                    f"{path}: expected texts of at most {most:g} MB, found one of {longest:,} bytes; "
                    "KGE_DATA_LINE_MB raises the limit."
                )


def _texts(column: Any, name: str, path: Path, first_row: int) -> list[str | None]:
    import pyarrow as arrow

    try:
        texts: list[str | None] = column.cast(arrow.string()).to_pylist()
    except UnicodeDecodeError:
        for row, value in enumerate(column.cast(arrow.binary()).to_pylist(), first_row + 1):
            if value is not None and (wrong := first_wrong_byte(value)) is not None:
                raise DataError(
                    f"{path}, row {row}: byte {wrong + 1} of column {listed([name])} is not valid UTF-8: "
                    f"{quoted(value)}. Write the column as text in UTF-8."
                ) from None
        raise
    return texts


def _refuse_missing(names: list[str], columns: Sequence[Sequence[str | None]], path: Path, first_row: int) -> None:
    for number, row in zip(count(first_row + 1), zip(*columns, strict=True)):
        for name, text in zip(names, row, strict=True):
            if not text:
                raise DataError(
                    f"{path}, row {number}: {listed([name])} is missing or empty: {', '.join(map(repr, row))}; "
                    f"give it a label or remove the row."
                )
