"""What every published graph must fulfil; the ones that need files are skipped where those are missing."""

from __future__ import annotations

import os

import numpy as np
import pytest

import kge_data
from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.published import catalogue

BUNDLED = [name for name in kge_data.names() if catalogue.record(name).package]
OTHERS = [name for name in kge_data.names() if name not in BUNDLED]
NEEDS_HOME = pytest.mark.skipif(not os.environ.get("KGE_DATA_HOME"), reason="KGE_DATA_HOME is not set")


@pytest.fixture(params=[*BUNDLED, *(pytest.param(name, marks=[pytest.mark.slow, NEEDS_HOME]) for name in OTHERS)])
def graph(request: pytest.FixtureRequest) -> kge_data.TripleSet:
    return kge_data.load(request.param, download=False)


def test_counts_are_the_published_ones(graph: kge_data.TripleSet) -> None:
    record = catalogue.record(graph.name)
    assert (graph.num_entities, graph.num_relations) == (record.entities, record.relations)
    assert [len(graph.train), len(graph.valid), len(graph.test)] == [record.train, record.valid, record.test]
    assert graph.checksum == record.checksum


def test_ids_are_dense_and_in_the_order_of_the_identifiers(graph: kge_data.TripleSet) -> None:
    everything = np.concatenate([graph.train, graph.valid, graph.test])
    assert everything.dtype == np.int64
    assert np.array_equal(np.unique(everything[:, ::2]), np.arange(graph.num_entities))
    assert np.array_equal(np.unique(everything[:, 1]), np.arange(graph.num_relations))
    assert list(graph.entities) == sorted(graph.entities)
    assert list(graph.relations) == sorted(graph.relations)


def test_no_triple_is_in_two_splits(graph: kge_data.TripleSet) -> None:
    known = KnownAnswers(graph.train)
    assert not known.contains(*graph.valid.T).any()
    assert not known.contains(*graph.test.T).any()
    assert not KnownAnswers(graph.valid).contains(*graph.test.T).any()


def test_the_known_answers_hold_every_triple_in_both_directions(graph: kge_data.TripleSet) -> None:
    both = with_reciprocals(np.concatenate([graph.train, graph.valid, graph.test]))
    known = KnownAnswers(both)
    assert known.contains(*both.T).all()
    assert len(known.tails) == len(both)


def test_every_identifier_is_found(graph: kge_data.TripleSet) -> None:
    assert [graph.entity_id(name) for name in graph.entities] == list(range(graph.num_entities))
    assert [graph.relation_id(name) for name in graph.relations] == list(range(graph.num_relations))


def test_the_listing_of_the_folder_is_the_catalogue() -> None:
    assert {"fb15k-237", "umls", "wn18rr"} <= set(kge_data.names())
    assert [catalogue.record(name).name for name in kge_data.names()] == kge_data.names()


@pytest.mark.slow
@NEEDS_HOME
def test_names_for_people() -> None:
    freebase = kge_data.load("fb15k-237", download=False)
    assert freebase.entities[freebase.entity_id("jeremy irons")] == "/m/016ywr"
    assert len(freebase.entity_text) == freebase.num_entities
    wordnet = kge_data.load("WN18RR", download=False)
    assert wordnet.entity_label(wordnet.entity_id("chieftainship")) == "chieftainship, the position of chieftain"
    codex = kge_data.load("codex_s", download=False)
    assert codex.relation_label(codex.relation_id("P749")) == "parent organization"
