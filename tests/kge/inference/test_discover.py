"""Missing facts: their order over all relations, filters, probabilities, files."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import kge_data
import mulde
from kge_data import from_triples
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError
from mulde.kge.inference import discover as module
from mulde.kge.inference.candidates import Candidates
from mulde.kge.inference.discover import discover
from mulde.kge.inference.facts import Facts
from mulde.kge.model.directions import score_both_directions
from mulde.kge.model.kge_model import KGEModel
from tests.kge.toys import model as toy_model
from tests.kge.toys import toy_graph

Triple = tuple[str, str, str]


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    return toy_graph(entities=14)


@pytest.fixture(scope="module")
def model(graph: TripleSet) -> KGEModel:
    return toy_model(graph)


def triples(facts: Facts) -> list[Triple]:
    return [(fact.head, fact.relation, fact.tail) for fact in facts]


def names(graph: TripleSet, split: str) -> set[Triple]:
    return {(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in getattr(graph, split).tolist()}


def by_score(model: KGEModel, graph: TripleSet) -> list[tuple[float, int, int, int]]:
    """(-score, relation, head, tail) of all observed candidates, best first."""
    every = np.indices((graph.num_entities, graph.num_relations, graph.num_entities)).reshape(3, -1).T
    some = every[Candidates(graph, "observed").contains(every)]
    scores = score_both_directions(model, *some.T).mean(1)
    return sorted((-score, r, h, t) for score, (h, r, t) in zip(scores.tolist(), some.tolist(), strict=True))


@pytest.mark.parametrize("known", ["all", "train"])
def test_without_validation_the_order_is_that_of_the_scores(known: str, model: KGEModel, graph: TripleSet) -> None:
    """Equal to a loop over all triples; test triples are left out, or not."""
    bare = TripleSet("bare", graph.train, graph.valid[:0], graph.test, graph.entities, graph.relations)
    hidden = names(graph, "test") if known == "all" else set()
    expected = [(graph.entities[h], graph.relations[r], graph.entities[t]) for _, r, h, t in by_score(model, bare)]
    expected = [triple for triple in expected if triple not in hidden]
    found = discover(model, bare, known=known, top=10**6)  # type: ignore[arg-type]
    assert triples(found) == expected and len(expected) > 50
    assert triples(discover(model, bare, known=known, top=7)) == expected[:7]  # type: ignore[arg-type]
    some = discover(model, bare, known=known, relations=["r2", "r0", "r2"], top=9)  # type: ignore[arg-type]
    assert triples(some) == [triple for triple in expected if triple[1] != "r1"][:9]
    assert {fact.probability for fact in found} == {None}
    assert {fact.known for fact in found} == ({None} if known == "all" else {None, "test"})
    assert [fact.rank for fact in found] == list(range(1, len(found) + 1))


def test_a_limit_for_each_relation(model: KGEModel, graph: TripleSet) -> None:
    everything = discover(model, graph, top=10**6)
    limited = discover(model, graph, per_relation=4)
    places: Counter[str] = Counter()
    expected = []
    for fact in everything:
        places[fact.relation] += 1
        if places[fact.relation] <= 4:
            expected.append((fact.head, fact.relation, fact.tail))
    assert triples(limited) == expected and len(expected) == 12


def test_probabilities_order_the_facts(model: KGEModel, graph: TripleSet) -> None:
    """Within a relation by score too; the sum over all candidates is the number of validation triples among them."""
    found = discover(model, graph, known="train", top=10**6)
    probabilities = [fact.probability for fact in found if fact.probability is not None]
    assert probabilities == sorted(probabilities, reverse=True) and len(probabilities) == len(found)
    for relation in graph.relations:
        scores = [fact.score for fact in found if fact.relation == relation]
        assert scores == sorted(scores, reverse=True)
    in_valid = sum(fact.known == "valid" for fact in found)
    assert in_valid > 3 and 0.3 * in_valid < sum(probabilities) <= 1.05 * in_valid
    new = discover(model, graph, top=10**6)
    assert triples(new) == [(fact.head, fact.relation, fact.tail) for fact in found if fact.known is None]


def test_a_relation_with_many_validation_triples_comes_first() -> None:
    """Scores alone would put the other relation first."""
    nodes = [f"e{number:02}" for number in range(12)]
    pairs = [(head, tail) for head in nodes for tail in nodes if head != tail]
    train = [(h, r, t) for r in ("often", "never") for h, t in pairs[::3]]
    graph = from_triples(train, [(h, "often", t) for h, t in pairs[1::3]], [("e00", "often", "e01")], name="two")
    made = toy_model(graph)
    often = graph.relation_id("often")
    scores = {relation: by_relation(made, graph, relation) for relation in range(2)}
    found = discover(made, graph, known="train", top=20)
    assert {fact.relation for fact in found} == {"often"}
    assert len(scores[often]) == len(scores[1 - often]) and max(scores[1 - often]) > found[-1].score


def by_relation(model: KGEModel, graph: TripleSet, relation: int) -> list[float]:
    return [-score for score, other, _, _ in by_score(model, graph) if other == relation]


def test_as_many_candidates_are_kept_as_the_filter_may_remove(
    model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POOL", 1)
    bare = TripleSet("bare", graph.train, graph.valid[:0], graph.test, graph.entities, graph.relations)
    every = Counter(fact.relation for fact in discover(model, bare, top=10**6))
    found = Counter(fact.relation for fact in discover(model, bare, per_relation=60))
    assert found == {relation: min(60, count) for relation, count in every.items()} and found.total() > 150


def test_wrong_numbers_and_graphs(model: KGEModel, graph: TripleSet) -> None:
    with pytest.raises(UsageError, match="`top` should be a whole number of at least 1, got 0"):
        discover(model, graph, top=0)
    with pytest.raises(UsageError, match="`per_relation` should be a whole number of at least 1 or empty, got -1"):
        discover(model, graph, per_relation=-1)
    with pytest.raises(UsageError, match="expected the graph that this model was trained on"):
        discover(model, kge_data.load("nations"))
    with pytest.raises(kge_data.UnknownName, match="r9"):
        discover(model, graph, relations=["r9"])


def test_from_python(model: KGEModel, graph: TripleSet) -> None:
    """One relation as a name; wrong choices are refused."""
    assert mulde.discover(model, graph, relations="r1", top=5) == discover(model, graph, relations=["r1"], top=5)
    with pytest.raises(UsageError, match="candidates must be observed, either or all; got 'both'"):
        mulde.discover(model, graph, candidates="both")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="known must be all or train; got 'valid'"):
        mulde.discover(model, graph, known="valid")  # type: ignore[arg-type]


def test_files(model: KGEModel, graph: TripleSet, tmp_path: Path) -> None:
    found = discover(model, graph, top=30)
    found.write(tmp_path / "new" / "facts.csv")
    with (tmp_path / "new" / "facts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["head"], row["relation"], row["tail"]) for row in rows] == triples(found)
    assert float(rows[3]["probability"]) == pytest.approx(found[3].probability, rel=1e-6)
    frame = found.to_pandas()
    found.write(tmp_path / "facts.parquet")
    pandas = pytest.importorskip("pandas")
    read = pandas.read_parquet(tmp_path / "facts.parquet")
    assert read["tail"].tolist() == frame["tail"].tolist() and list(read.columns) == list(frame.columns)
    with pytest.raises(UsageError, match="exists already"):
        found.write(tmp_path / "facts.parquet")
    with pytest.raises(UsageError, match=r"ends in \.csv, \.tsv, \.parquet, \.nt"):
        found.write(tmp_path / "facts.txt")
    with pytest.raises(UsageError, match="N-Triples hold IRIs, and 'r0' of toy is none"):
        found.write(tmp_path / "facts.nt")


def test_n_triples_are_read_again(tmp_path: Path) -> None:
    toy = toy_graph(entities=14)
    iris = TripleSet(
        "iris",
        toy.train,
        toy.valid,
        toy.test,
        ("_:a", *(f"http://example.org/é/{name}" for name in toy.entities[1:])),
        tuple(f"urn:{name}" for name in toy.relations),
    )
    found = discover(toy_model(iris), iris, top=40)
    found.write(tmp_path / "facts.nt")
    again = kge_data.load(tmp_path / "facts.nt")
    everything = set().union(*(names(again, split) for split in ("train", "valid", "test")))
    assert everything == set(triples(found)) and len(everything) == 40


def test_printed_form(model: KGEModel, graph: TripleSet) -> None:
    labelled = TripleSet(
        "toy", graph.train, graph.valid, graph.test, graph.entities, graph.relations, {0: "Größe"}, {0: "is near"}
    )
    found = discover(model, labelled, top=60)
    text = repr(found)
    assert text.startswith(f"toy: the 60 likeliest of {found.candidates:,} candidates; precision at 60 on test: ")
    assert text.splitlines()[1].startswith("rank  head")
    assert text.endswith("\n40 more") and len(text.splitlines()) == 24
    everything = discover(model, labelled, top=10**6)
    assert "is near" in everything.text() and "Größe" in everything.text()
    assert "rank" in found._repr_html_()
    assert repr(Facts([], graph, 0)).endswith("(no candidates)")
