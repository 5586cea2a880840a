"""Rules: counts against loops over all pairs, confidences by hand, paths, storage."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kge_data import cache, from_triples
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.rules import mining, rule, sampling
from mulde.kge.rules.constants import constant_rules
from mulde.kge.rules.grounding import fired, groundings
from mulde.kge.rules.links import Links
from mulde.kge.rules.mining import mine
from mulde.kge.rules.rule import Rules
from mulde.kge.rules.storage import as_file, from_file, rules_of
from tests.kge.rules import brute_force

Found = dict[tuple[int, tuple[int, ...]], tuple[int, int, int]]


@st.composite
def graphs(draw: st.DrawFn) -> TripleSet:
    """Graphs of up to 5 entities and 2 relations, with self-loops and entities without facts."""
    entity, relation = st.integers(0, 4), st.integers(0, 1)
    triples = draw(st.sets(st.tuples(entity, relation, entity), min_size=1, max_size=20))
    empty = np.empty((0, 3), dtype=np.int64)
    names = tuple(f"e{i}" for i in range(5)), ("r0", "r1")
    return TripleSet("drawn", np.array(sorted(triples)), empty, empty, *names)


def by_rule(table: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Found:
    return {(row[0], tuple(atom for atom in row[1:4] if atom >= 0)): tuple(row[4:]) for row in table.tolist()}


def times(number: int) -> object:
    """A function that is true so many times."""
    calls = count()
    return lambda: next(calls) < number


@settings(max_examples=10)
@given(graphs())
def test_counts_are_those_of_the_definitions(graph: TripleSet) -> None:
    links = Links(graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mining, "ENTRIES", 8)  # several pieces
        patch.setattr(mining, "frequent", lambda table: table)
        assert by_rule(mining.of_one(links)) == brute_force.closed(graph, 1)
        assert by_rule(mining.of_two(links)) == brute_force.closed(graph, 2)


def test_bodies_of_three_are_found_and_counted() -> None:
    """All of a small graph, with all entities as starts: the counts are exact."""
    draw = np.random.default_rng(0)
    triples = {(int(h), int(r), int(t)) for h, r, t in draw.integers((7, 2, 7), size=(16, 3))}
    empty = np.empty((0, 3), dtype=np.int64)
    graph = TripleSet("small", np.array(sorted(triples)), empty, empty, tuple("abcdefg"), ("r", "s"))
    links, expected = Links(graph), brute_force.closed(graph, 3)
    bodies = sampling.bodies_of_three(links, 0, times(4))  # type: ignore[arg-type]
    assert {tuple(body) for body in bodies.tolist()} >= {body for _, body in expected} and len(expected) > 40
    assert by_rule(sampling.counted(links, bodies, 0, lambda: True)) == expected
    assert len(sampling.counted(links, bodies, 0, times(3))) < len(expected)  # type: ignore[arg-type]
    again = sampling.bodies_of_three(links, 0, times(4))  # type: ignore[arg-type]
    assert again.tolist() == bodies.tolist()


@settings(max_examples=12)
@given(
    graphs(),
    st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 4)),
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple), max_size=3),
)
def test_rules_that_predict_a_fact(graph: TripleSet, fact: tuple[int, int, int], bodies: list[tuple[int, ...]]) -> None:
    """Exactly those whose body connects head and tail, by all paths; none contains the fact."""
    head, _, tail = fact
    links, known = Links(graph), set(map(tuple, graph.train.tolist()))
    for body in bodies:
        expected = {path for path in brute_force.paths(graph, body) if (path[0], path[-1]) == (head, tail)}
        assert set(map(tuple, groundings(links, body, head, tail).tolist())) == expected
    for each, first in constant_rules(links, fact):
        assert first in known - {fact} and {head, tail} & {first[0], first[2]}
        counts = brute_force.constant(graph, each.relation, each.constant, each.body)
        assert (each.counts.support, each.counts.pairs, each.counts.answered) == counts
    found = fired(mine(graph, seconds=0), links, fact, top=100)
    steps = [step for each in found for path in each.paths for step in path]
    assert set(steps) <= known - {fact} and (found == [] or head != tail)
    strengths = [each.rule.counts.strength for each in found]
    assert strengths == sorted(strengths, reverse=True)


FIVE = [
    ("anna", "born in", "bonn"),
    ("bert", "born in", "cologne"),
    ("anna", "lives in", "bonn"),
    ("bert", "lives in", "bonn"),
    ("carl", "born in", "bonn"),
]


def test_confidences_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs are born in; Anna lives there, Bert lives elsewhere, nobody knows where Carl lives."""
    monkeypatch.setattr(rule, "FEWEST_SUPPORT", 1)
    graph = from_triples(FIVE, [], [], name="five")
    lives = graph.relation_id("lives in")
    [found] = [each for each in mine(graph, seconds=0).of(lives) if len(each.body) == 1]
    assert found.text(graph) == "born in(x, y) => lives in(x, y)"
    assert (found.counts.support, found.counts.pairs, found.counts.answered) == (1, 3, 2)
    assert (found.counts.confidence, found.counts.pca_confidence) == (1 / 3, 1 / 2)
    fact = graph.entity_id("carl"), lives, graph.entity_id("bonn")
    constant = [(each.text(graph), each.counts) for each, _ in constant_rules(Links(graph), fact)]
    assert constant[0][0] == "born in(x, bonn) => lives in(x, bonn)"
    assert (constant[0][1].support, constant[0][1].pairs, constant[0][1].answered) == (1, 2, 1)


def test_the_strongest_rules_of_a_relation_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    triples = np.unique(draw.integers((12, 3, 12), size=(150, 3)), axis=0)
    empty = np.empty((0, 3), dtype=np.int64)
    graph = TripleSet("dense", triples, empty, empty, tuple(map(str, range(12))), ("a", "b", "c"))
    every = mine(graph, seconds=0)
    assert (every.table[:, 4] >= 2).all() and len(every) > 90
    monkeypatch.setattr(rule, "MOST", 5)
    monkeypatch.setattr(mining, "ROWS", 20)
    few = mine(graph, seconds=0)
    for relation in range(3):
        assert list(few.of(relation)) == list(every.of(relation))[:5]


def test_rules_are_mined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path))
    graph, told = from_triples(FIVE, [], [], name="five"), list[str]()
    monkeypatch.setattr(rule, "FEWEST_SUPPORT", 1)
    first = rules_of(graph, None, 0, told.append)
    assert rules_of(graph, None, 0, told.append).table.tolist() == first.table.tolist() and len(told) == 1
    rules_of(graph, None, 1e-9, told.append)  # another time
    other = from_triples(FIVE[:4], [], [], name="five")
    assert rules_of(other, None, 0, told.append).table.tolist() != first.table.tolist() and len(told) == 3
    for path in cache.directory().iterdir():
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.warns(UserWarning, match="the cached file of rules is damaged .*; they are mined again"):
        rules_of(other, None, 0, told.append)


def test_a_file_of_rules() -> None:
    table = np.array([[0, 3, -1, -1, 2, 9, 4], [1, 0, 1, 2, 3, 3, 3]])
    content = as_file(Rules(table))
    assert from_file(content, "x", 2).table.tolist() == table.tolist()
    short, header = as_file(Rules(table[:, :6])), content.replace(b"<i8", b"<f8")
    wrong = [[[0, -1, 0, -1, 2, 9, 4]], [[0, 3, -1, -1, 5, 9, 4]], [[0, 4, -1, -1, 2, 9, 4]], [[2, 3, -1, -1, 2, 9, 4]]]
    for damaged in (b"", content[:-1], content[8:], short, header, *(as_file(Rules(np.array(it))) for it in wrong)):
        with pytest.raises(UsageError, match="x: expected the rules of a graph"):
            from_file(damaged, "x", 2)


def test_a_graph_without_training_triples() -> None:
    empty = np.empty((0, 3), dtype=np.int64)
    graph = TripleSet("empty", empty, empty, empty, ("a", "b"), ("r",))
    assert len(mine(graph)) == 0 and fired(mine(graph), Links(graph), (0, 0, 1), 5) == []
