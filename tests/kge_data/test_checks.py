"""Graphs made by hand are checked when they are made."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import kge_data
from kge_data import DataError, TripleSet, UnknownName

TRAIN = np.array([[0, 0, 1], [1, 0, 0]])


def graph(**changes: Any) -> TripleSet:
    none = TRAIN[:0]
    given = {"train": TRAIN, "valid": none, "test": none, "entities": ("a", "b"), "relations": ("r",), **changes}
    return TripleSet(name="mine", **given)


@pytest.mark.parametrize(
    "train",
    [TRAIN, TRAIN.astype(np.int32), TRAIN.astype(np.uint8), TRAIN.tolist(), tuple(map(tuple, TRAIN.tolist()))],
    ids=["int64", "int32", "uint8", "lists", "tuples"],
)
def test_integer_ids_are_taken(train: Any) -> None:
    found = graph(train=train, valid=[], test=np.empty((0, 3)))
    assert found.train.dtype == found.valid.dtype == found.test.dtype == np.int64
    assert found.train.tolist() == TRAIN.tolist() and found.valid.shape == found.test.shape == (0, 3)
    assert found.checksum == graph().checksum


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    assert graph(train=torch.from_numpy(TRAIN)).train.tolist() == TRAIN.tolist()
    assert kge_data.from_triples(torch.from_numpy(TRAIN), [], []).entities == ("0", "1")
    with pytest.raises(DataError, match=r"mine, train: expected an array of shape .* or a tensor on the CPU"):
        graph(train=torch.zeros(1, 3, requires_grad=True))


def test_an_array_is_not_copied() -> None:
    assert graph().train is TRAIN


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": np.array([[2, 0, 1]])}, "mine, train: expected entity ids from 0 to 1, one for each name, got 2;"),
        ({"valid": np.array([[0, 0, -1]])}, "mine, valid: expected entity ids from 0 to 1, one for each name, got -1;"),
        ({"test": np.array([[0, 1, 1]])}, "mine, test: expected relation ids from 0 to 0, one for each name, got 1;"),
        ({"train": np.array([[0, 0]])}, "mine, train: expected integer ids of shape (n, 3), got shape (1, 2) of int64"),
        ({"train": TRAIN[0]}, "mine, train: expected integer ids of shape (n, 3), got shape (3,) of int64"),
        ({"train": TRAIN / 1}, "expected integer ids of shape (n, 3), got shape (2, 3) of float64; `kge_data.from_tr"),
        ({"train": TRAIN > 0}, "expected integer ids of shape (n, 3), got shape (2, 3) of bool"),
        ({"train": [("a", "r", "b")]}, "mine, train: expected integer ids of shape (n, 3), got shape (1, 3) of <U1"),
        ({"train": [[0, 0, 1], [0]]}, "mine, train: expected an array of shape (n, 3), but "),
        ({"train": None}, "mine, train: expected integer ids of shape (n, 3), got shape () of object"),
        ({"entities": ("a", "a")}, "mine: expected a different name for each entity, got 'a' 2 times; rename them."),
        ({"relations": ("r", "r")}, "mine: expected a different name for each relation, got 'r' 2 times; rename them."),
        ({"entities": (1, 2)}, "mine: expected entity names that are strings, got 1; `kge_data.from_triples` makes"),
        ({"entities": ("a", float("nan"))}, "mine: expected entity names that are strings, got nan;"),
        ({"entities": "ab"}, "mine: expected a tuple of entity names, got str; the position is the id."),
        ({"relations": {"r": 0}}, "mine: expected a tuple of relation names, got dict;"),
    ],
)  # fmt: skip
def test_what_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        graph(**changes)


def test_a_changed_graph_is_checked_too() -> None:
    with pytest.raises(DataError, match="entity ids from 0 to 1"):
        replace(graph(), test=np.array([[7, 0, 0]]))


@pytest.mark.parametrize("name", [5, np.int64(5), None, float("nan"), b"a"])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(UnknownName, match=r"expected a string as entity, got .*; give its identifier or its readable"):
        graph().entity_id(name)
    with pytest.raises(UnknownName, match="expected a string as relation, got "):
        graph().relation_id(name)


@pytest.mark.parametrize("name", ["Nations", "NATIONS", "na-tions", "na_tions"])
def test_spellings_of_a_graph(name: str) -> None:
    assert kge_data.load(name).name == "nations"
