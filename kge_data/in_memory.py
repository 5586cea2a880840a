"""Triples in memory (a list, an array or a table) -> TripleSet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kge_data.checks import as_array
from kge_data.columns import Choice, choice
from kge_data.errors import DataError
from kge_data.layout import named, unnamed
from kge_data.numbering import Columns, Vocabulary, encode, numbered, numbered_and_split
from kge_data.tripleset import FIELDS, TripleSet


def from_triples(
    triples: Any,
    valid: Any = None,
    test: Any = None,
    *,
    name: str = "triples",
    seed: int = 0,
    columns: Choice | None = None,
) -> TripleSet:
    """A knowledge graph from triples in memory.

    Each part is a list of (head, relation, tail), an array of shape (n, 3), or a table such as a pandas DataFrame.
    The columns of a table are found by their names (see `kge_data.columns`); otherwise it has three, in this order.
    Labels are strings or numbers; a number becomes its text, and 2.0 becomes "2".

    Parameters
    ----------
    triples
        The training triples, or all triples if `valid` and `test` are not given.
    valid, test
        The other two splits, which may be empty. Without them, `triples` are split as a single file is: see
        `kge_data.splitting.split`.
    name
        Name of the graph.
    seed
        Seed of the split.
    columns
        Columns of a table with head, relation and tail: names, or positions from 1.

    Returns
    -------
    TripleSet
        The graph; its ids follow the ascending order of the labels.

    Raises
    ------
    DataError
        If a row does not have three fields, a label is missing, empty or neither string nor number, there are no
        triples, too few to split, or only one of `valid` and `test` is given.

    Examples
    --------
    >>> from_triples([("a", "r", "b"), ("b", "r", "a")], valid=[], test=[("a", "r", "a")])
    TripleSet('triples': 2 entities, 1 relations, 2 train / 0 valid / 1 test triples)
    """
    if (valid is None) != (test is None):
        missing, given = ("valid", "test") if valid is None else ("test", "valid")
        raise DataError(f"{name}: {given} came without {missing}; give both ([] for none), or neither for a split.")
    entities, relations, wanted = Vocabulary(), Vocabulary(), choice(columns)
    parts = {name: triples}
    if valid is not None:
        parts = {f"{name}, train": triples, f"{name}, valid": valid, f"{name}, test": test}
    encoded = [encode([_columns(part, where, wanted)], entities, relations) for where, part in parts.items()]
    if not len(encoded[0]):
        raise DataError(f"{name}: expected triples, but there are none; give at least one.")
    if valid is not None:
        return numbered(name, encoded, entities, relations, {}, {})
    try:
        return numbered_and_split(name, encoded[0], entities, relations, {}, seed)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _columns(part: Any, where: str, wanted: tuple[str, ...] | None) -> Columns:
    """Heads, relations and tails as text."""
    if isinstance(part, str | bytes):
        raise DataError(f"{where}: expected triples, got {part!r}; `kge_data.load` opens names and paths.")
    if hasattr(part, "columns"):
        columns = _of_table(part, where, wanted)
    elif hasattr(part, "__array__"):
        columns = _of_array(as_array(part, where), where)
    else:
        columns = _of_rows(part, where)
    heads, relations, tails = (
        _texts(column, field, where) for column, field in zip(columns, FIELDS, strict=True)
    )  # fmt: skip
    return heads, relations, tails


def _of_table(table: Any, where: str, wanted: tuple[str, ...] | None) -> list[list[Any]]:
    names = list(table.columns)
    texts = [str(name) for name in names]
    layout = named(texts, where, wanted) or unnamed(texts, where, wanted, names=True)
    chosen = [names[place] for place in layout.places]
    if any(names.count(name) > 1 for name in chosen):
        raise DataError(f"{where}: two columns have one name, found {', '.join(texts)}; rename one.")
    return [list(table[name]) for name in chosen]


def _of_array(array: Any, where: str) -> list[list[Any]]:
    if array.ndim != 2 or array.shape[1] != 3:
        if array.size == 0:
            return [[], [], []]
        raise DataError(
            f"{where}: expected an array of shape (n, 3), got {array.shape}; its columns are head, relation and tail."
        )
    return [column.tolist() for column in array.T]


def _of_rows(rows: Iterable[Any], where: str) -> list[list[Any]]:
    if not isinstance(rows, Iterable):
        raise DataError(f"{where}: expected triples, got {type(rows).__name__}; give a list, an array or a DataFrame.")
    columns: list[list[Any]] = [[], [], []]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Sequence | np.ndarray) or isinstance(row, str | bytes) or len(row) != 3:
            raise DataError(f"{where}, row {number}: expected 3 fields (head, relation, tail), got {_format(row)}.")
        for column, label in zip(columns, row, strict=True):
            column.append(label)
    return columns


def _texts(labels: list[Any], field: str, where: str) -> list[str]:
    if all(type(label) is str for label in labels) and all(labels):
        return labels  # nearly always, and much faster
    texts = []
    for number, label in enumerate(labels, 1):
        text = _text(label)
        if not text:
            raise DataError(
                f"{where}, row {number}: expected a string or a number as {field}, got {_format(label)}; "
                "give it a label or remove the row."
            )
        texts.append(text)
    return texts


def _text(label: Any) -> str | None:
    """The label as text; None if it is missing or of another type."""
    if isinstance(label, str):
        return str(label)
    if isinstance(label, bool | np.bool_):
        return None
    if isinstance(label, float | np.floating):
        if not math.isfinite(label):
            return None
        return str(int(label)) if label == int(label) else str(float(label))
    return str(int(label)) if isinstance(label, int | np.integer) else None


def _format(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
