"""A graph as files that travel in a bundle: unpacking restores it, it is small, and damage is reported."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import kge_data
from kge_data import DataError, TripleSet, packed
from kge_data.tripleset import SPLITS

ODD = TripleSet(
    "odd",
    np.array([[2, 1, 0], [0, 0, 1], [2, 1, 0], [0, 0, 2], [1, 1, 1]]),  # unsorted, one of them twice
    np.array([[1, 2, 0]]),
    np.empty((0, 3), dtype=np.int64),
    entities=("b\tc", "a\nä", ""),  # not sorted, as PyKEEN may number them
    relations=("r\\1", "r2", "never"),
    entity_text={1: "two\nlines"},
    relation_text={2: "日本"},
)


@pytest.mark.parametrize("graph", [ODD, kge_data.load("nations")], ids=["odd", "nations"])
def test_unpacking_restores_the_graph(graph: TripleSet) -> None:
    files = packed.pack(graph)
    again = packed.unpack(graph.name, files)
    assert again.checksum == graph.checksum
    assert (again.entities, again.relations) == (graph.entities, graph.relations)
    assert (again.entity_text, again.relation_text) == (graph.entity_text, graph.relation_text)
    for split in SPLITS:
        assert sorted(getattr(again, split).tolist()) == sorted(getattr(graph, split).tolist())
    assert packed.pack(again) == files


def test_it_is_small() -> None:
    draw = np.random.default_rng(0)
    triples = draw.integers(0, (5_000, 50, 5_000), (60_000, 3))
    graph = dataclasses.replace(
        ODD, train=triples, entities=tuple(map(str, range(5_000))), relations=tuple(map(str, range(50))),
        entity_text={}, relation_text={},
    )  # fmt: skip
    assert len(packed.pack(graph)[packed.KNOWN]) < 3.5 * len(triples)  # as int32 they would take 12 bytes each


@pytest.mark.parametrize("damage", ["no file", "cut", "too few names", "a pickle"])
def test_damage_is_reported(damage: str) -> None:
    files = packed.pack(ODD)
    if damage == "no file":
        del files[packed.RELATIONS]
    elif damage == "cut":
        files[packed.KNOWN] = files[packed.KNOWN][:-30]
    elif damage == "too few names":
        files[packed.ENTITIES] = b"a\nb\n"
    else:
        files[packed.KNOWN] = b"\x80\x04N."
    with pytest.raises(DataError, match=r"odd: expected entities\.tsv, relations\.tsv and known\.npz as `mulde pack`"):
        packed.unpack("odd", files)


def test_headers_do_not_depend_on_the_release_of_python() -> None:
    content = packed.pack(kge_data.load("nations"))[packed.KNOWN]
    assert content.startswith(b"PK\x03\x04\x14\x00")  # version 2.0; 4.5 would be that of files over 4 GB
