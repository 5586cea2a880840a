"""Checks of the ids and names of a graph in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError


def checked_ids(triples: Any, where: str, num_entities: int, num_relations: int) -> NDArray[np.int64]:
    """Triples of ids as an array.

    Parameters
    ----------
    triples
        (n, 3) head, relation, tail: an array of integers, or what numpy makes one of.
    where
        Graph and split, for messages.
    num_entities, num_relations
        Numbers of names.

    Returns
    -------
    ndarray
        (n, 3) int64; the given array if it is one.

    Raises
    ------
    DataError
        If it is no such array, or an id has no name.
    """
    array = as_array(triples, where)
    if array.size == 0:
        return np.empty((0, 3), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iu":
        raise DataError(
            f"{where}: expected integer ids of shape (n, 3), got shape {array.shape} of {array.dtype}; "
            "`kge_data.from_triples` makes a graph of labels."
        )
    for kind, column, count in zip(
        ("entity", "relation", "entity"), array.T, (num_entities, num_relations, num_entities), strict=True
    ):
        low, high = column.min(), column.max()
        if low < 0 or high >= count:
            raise DataError(
                f"{where}: expected {kind} ids from 0 to {count - 1}, one for each name, got "
                f"{low if low < 0 else high}; number the names from 0, or add the missing ones."
            )
    return array.astype(np.int64, copy=False)


def as_array(values: Any, where: str) -> NDArray[Any]:
    """What numpy makes of an array or a torch tensor.

    Raises
    ------
    DataError
        Where it cannot.
    """
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of different lengths, tensors on a GPU
        raise DataError(
            f"{where}: expected an array of shape (n, 3), but {error}; give a numpy array, or a tensor on the CPU."
        ) from error


def checked_names(names: Any, kind: str, graph: str) -> tuple[str, ...]:
    """The names of entities or relations as a tuple.

    Raises
    ------
    DataError
        If they are not distinct strings.
    """
    if not isinstance(names, Sequence) or isinstance(names, str | bytes):
        raise DataError(
            f"{graph}: expected a tuple of {kind} names, got {type(names).__name__}; the position is the id."
        )
    if not all(isinstance(name, str) for name in names):
        wrong = next(name for name in names if not isinstance(name, str))
        raise DataError(
            f"{graph}: expected {kind} names that are strings, got {wrong!r}; "
            "`kge_data.from_triples` makes strings of numbers."
        )
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{graph}: expected {kind} names of whole characters, got half a one ({error}).") from error
    if len(set(names)) < len(names):
        name, count = Counter(names).most_common(1)[0]
        raise DataError(f"{graph}: expected a different name for each {kind}, got {name!r} {count} times; rename them.")
    return tuple(names)
