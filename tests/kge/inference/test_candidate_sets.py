"""Candidates by list, by type and by relation, against plain loops."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from kge_data.entity_files import types_in
from kge_data.inverse import with_reciprocals
from mulde.errors import UsageError
from mulde.kge.evaluation.candidate_sets import CandidateSets, same_for_all, seen_in_training
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.evaluation.typed import typed_metrics
from mulde.kge.inference.best import Best
from mulde.kge.inference.candidate_choice import chosen_candidates
from mulde.kge.inference.candidates import Candidates
from mulde.kge.inference.discover import discover
from mulde.kge.inference.predictor import predictor_of
from mulde.kge.inference.query import predict
from mulde.kge.model.kge_model import KGEModel
from tests.kge import toys

GRAPH = toys.toy_graph()
TRIPLES = {split: [tuple(each) for each in getattr(GRAPH, split).tolist()] for split in ("train", "valid", "test")}


@pytest.fixture(scope="module")
def model() -> KGEModel:
    return toys.model(GRAPH).eval()


def seen(relation: int) -> set[int]:
    """The entities at the answers' position of an internal relation in train."""
    return {h if relation % 2 else t for h, r, t in TRIPLES["train"] if r == relation // 2}


def test_the_entities_seen_at_a_position() -> None:
    sets = seen_in_training(GRAPH)
    assert all(set(sets.of(relation).tolist()) == seen(relation) for relation in range(6))
    kinds = {entity: str(entity % 4) for entity in range(0, GRAPH.num_entities, 2)}
    text = "".join(f"{GRAPH.entities[entity]}\t{kind}\n" for entity, kind in kinds.items())
    by_type = seen_in_training(GRAPH, types_in(text, GRAPH, "text"))
    for relation in range(6):
        wanted = {kinds[entity] for entity in seen(relation) if entity in kinds}
        assert set(by_type.of(relation).tolist()) == {entity for entity, kind in kinds.items() if kind in wanted}
    assert sets.digest(3) != by_type.digest(3)


@pytest.mark.parametrize("sets", [same_for_all(np.array([1, 4, 7, 9]), "some"), seen_in_training(GRAPH)])
def test_answers_are_those_among_the_candidates(sets: CandidateSets, model: KGEModel) -> None:
    """In the order of all answers, with ranks among the candidates, of which known ones count."""
    everything = predict(model, GRAPH, head="e03", relation="r1", top=GRAPH.num_entities)
    inside = {GRAPH.entities[entity] for entity in sets.of(2)}
    expected = [each.identifier for each in everything if each.identifier in inside]
    restricted = predictor_of(model, GRAPH).restricted(sets)
    found = predict(restricted, GRAPH, head="e03", relation="r1", top=GRAPH.num_entities)
    assert [(each.rank, each.identifier) for each in found] == list(enumerate(expected, 1))
    assert f"among {len(inside)} of {GRAPH.num_entities} entities" in repr(found)
    new = predict(restricted, GRAPH, head="e03", relation="r1", top=GRAPH.num_entities, exclude_known=True)
    assert list(new) == [each for each in found if each.known_in is None]


def test_columns_that_are_no_candidates_do_not_count_for_ranks() -> None:
    best = Best.empty(1, 3, 4, np.float64)
    outside, known = np.array([[False, True, False, False]]), (np.array([0]), np.array([3]))
    best.fill_best(np.array([0]), np.array([[1.0, 9.0, 2.0, 5.0]]), known, outside)
    assert best.ids.tolist() == [[2, 0, -1]] and best.ranks[0, :2].tolist() == [2, 3]


def test_ranks_by_type(model: KGEModel) -> None:
    """Filtered by all splits; an answer that is no candidate is not found."""
    sets, known = seen_in_training(GRAPH), set(map(tuple, with_reciprocals(np.concatenate(
        [GRAPH.train, GRAPH.valid, GRAPH.test])).tolist()))  # fmt: skip
    queries = with_reciprocals(GRAPH.test)
    scores = model.score_all(*torch.from_numpy(queries[:, :2]).unbind(1))
    ranks, inside = [], []
    for row, (head, relation, tail) in enumerate(queries.tolist()):
        others = [each for each in seen(relation) - {tail} if (head, relation, each) not in known]
        ranks.append(1 + sum(float(scores[row, each] > scores[row, tail]) for each in others))
        inside.append(tail in seen(relation))
    found = evaluate(model, GRAPH, "test", embeddings_only=True, candidates=sets)
    assert found.ranks.ranks().tolist() == ranks
    metrics = typed_metrics(model, GRAPH, "test", sets, embeddings_only=True)
    reciprocal = [1 / rank if kept else 0.0 for rank, kept in zip(ranks, inside, strict=True)]
    assert metrics["realistic"]["mrr"] == pytest.approx(np.mean(reciprocal)) and not all(inside)
    assert metrics["inside"] == np.mean(inside)
    assert metrics["candidates"] == pytest.approx(np.mean([len(seen(r)) for r in queries[:, 1].tolist()]))


def test_precision_of_the_first_answers(model: KGEModel) -> None:
    """The mean over queries of the fraction of the first k answers that are in test, without those of other splits."""
    queries = with_reciprocals(GRAPH.test)
    known = set(map(tuple, with_reciprocals(np.concatenate([GRAPH.train, GRAPH.valid])).tolist()))
    shares = []
    for head, relation in sorted(set(map(tuple, queries[:, :2].tolist()))):
        row = model.score_all(torch.tensor([head]), torch.tensor([relation]))[0]
        order = [each for each in row.argsort(descending=True).tolist() if (head, relation, each) not in known]
        shares.append(np.mean([[head, relation, each] in queries.tolist() for each in order[:3]]))
    assert len(shares) < len(queries)  # some queries have several answers
    found = evaluate(model, GRAPH, "test", embeddings_only=True)
    assert found.precision(3) == pytest.approx(np.mean(shares))
    assert evaluate(model, GRAPH, "test", sample=3).precision(3) is None


def test_facts_with_certain_heads_and_tails(model: KGEModel) -> None:
    heads, tails = np.array([1, 3, 5, 8, 9, 12]), np.array([0, 2, 3, 4, 11, 20, 21])
    search = partial(discover, model, GRAPH, top=10_000, candidates="all", known="train")
    every, found = search(), search(heads=heads, tails=tails)
    names = [{GRAPH.entities[each] for each in ids} for ids in (heads, tails)]
    expected = {(it.head, it.relation, it.tail) for it in every if it.head in names[0] and it.tail in names[1]}
    assert {(it.head, it.relation, it.tail) for it in found} == expected
    assert found.candidates == len(expected) > 0
    ids = [(GRAPH.entity_id(it.head), GRAPH.relation_id(it.relation), GRAPH.entity_id(it.tail)) for it in found]
    either = sum(head in seen(2 * relation + 1) or tail in seen(2 * relation) for head, relation, tail in ids)
    assert sum(map(Candidates(GRAPH, "either", heads, tails).count, range(3))) == either


def test_the_precision_of_facts(model: KGEModel) -> None:
    """The share of test among as many of the likeliest facts, without those of validation."""
    found = discover(model, GRAPH, top=15, candidates="all")
    every = discover(model, GRAPH, top=10_000, candidates="all", known="train")
    first = [it.known for it in every if it.known != "valid"][:15]
    assert found.precision == pytest.approx(first.count("test") / 15)
    assert f"; precision at 15 on test: {found.precision:.1%}\n" in repr(found)


def test_choices_that_do_not_fit(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("e01\ne02\n")
    sets = chosen_candidates(GRAPH, names)
    assert sets is not None and sets.of(0).tolist() == [1, 2]
    assert chosen_candidates(GRAPH) is None
    for how, message in (
        ({"candidates": names, "typed": True}, "exclude each other"),
        ({"types": names}, "a file of types belongs to type or typed"),
        ({"candidates": []}, "the list of candidates is empty"),
        ({"type": "city"}, "toy has no types"),
    ):
        with pytest.raises(UsageError, match=message):
            chosen_candidates(GRAPH, **how)  # type: ignore[arg-type]
