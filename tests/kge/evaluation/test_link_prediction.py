"""Filtered ranking of whole splits against a loop over Python sets, and the breakdowns of its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import kge_data
from kge_data import TripleSet, from_triples
from kge_data.inverse import with_reciprocals
from mulde.kge.evaluation.link_prediction import LinkPrediction, evaluate, known_answers
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.disth import DistH
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.metrics.ranks import NonFiniteScores
from tests.kge import toys


@dataclass
class Table:
    """A ranker that reads its scores (e, 2r, e) from a table; delivers rows in no order, three at a time."""

    scores: Tensor

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(heads), generator=torch.Generator().manual_seed(0)).split(3):
            yield rows, self.scores[heads[rows], relations[rows]]


def tied_scores(graph: TripleSet, values: int = 4) -> Table:
    shape = graph.num_entities, 2 * graph.num_relations, graph.num_entities
    return Table(torch.randint(values, shape, generator=torch.Generator().manual_seed(0)).float())


@cache
def load(name: str) -> TripleSet:
    return toys.toy_graph() if name == "toy" else kge_data.load(name)


def naive(graph: TripleSet, split: str, score: Any) -> list[tuple[int, int, int]]:
    """(better, tied, candidates) of all (h, r, ?), then of all (?, r, t); `score(h, internal r)` is a row."""
    facts = {tuple(triple) for part in (graph.train, graph.valid, graph.test) for triple in part.tolist()}
    outcome = []
    for backwards in (False, True):
        for h, r, t in getattr(graph, split).tolist():
            head, answer = (t, h) if backwards else (h, t)
            row = score(head, 2 * r + backwards)
            others = [
                e for e in range(graph.num_entities)
                if e != answer and ((e, r, t) if backwards else (h, r, e)) not in facts
            ]  # fmt: skip
            better = sum(row[e] > row[answer] for e in others)
            tied = sum(row[e] == row[answer] for e in others)
            outcome.append((better, tied, len(others) + 1))
    return outcome


def outcome(result: LinkPrediction) -> list[tuple[int, int, int]]:
    ranks = result.ranks
    return list(zip(ranks.better.tolist(), ranks.tied.tolist(), ranks.candidates.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "split", "scorer"),
    [
        ("nations", "test", RotH),
        ("nations", "valid", RotE),
        ("kinships", "test", DistH),
        ("toy", "train", RotH),
    ],
)
def test_models_are_ranked_as_by_a_loop(name: str, split: str, scorer: type[Scorer]) -> None:
    graph = load(name)
    model = toys.model(graph, scorer)

    def score(head: int, relation: int) -> list[float]:
        row: list[float] = model.score_all(torch.tensor([head]), torch.tensor([relation]))[0].tolist()
        return row

    assert outcome(evaluate(model, graph, split)) == naive(graph, split, score)


@pytest.mark.parametrize("name", ["nations", "toy"])
@pytest.mark.parametrize("split", ["test", "valid"])
def test_ties_are_ranked_as_by_a_loop(name: str, split: str) -> None:
    graph = load(name)
    ranker = tied_scores(graph)
    result = evaluate(ranker, graph, split)
    assert outcome(result) == naive(graph, split, lambda h, r: ranker.scores[h, r].tolist())
    assert (result.ranks.tied > 0).any()


def test_metrics_of_a_loop() -> None:
    graph = load("nations")
    ranker = tied_scores(graph, 30)
    ranks = [
        1 + better + tied / 2 for better, tied, _ in naive(graph, "test", lambda h, r: ranker.scores[h, r].tolist())
    ]
    metrics = evaluate(ranker, graph).metrics()
    assert metrics["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks), rel=1e-12)
    assert metrics["mr"] == pytest.approx(sum(ranks) / len(ranks), rel=1e-12)
    for k in (1, 3, 10):
        assert metrics[f"hits@{k}"] == pytest.approx(sum(rank <= k for rank in ranks) / len(ranks), rel=1e-12)
    optimistic, pessimistic = (evaluate(ranker, graph).metrics(policy) for policy in ("optimistic", "pessimistic"))
    assert optimistic["mrr"] > metrics["mrr"] > pessimistic["mrr"]


def test_the_filter_knows_all_three_splits_and_may_be_shared() -> None:
    graph = load("toy")
    known = known_answers(graph)
    for split in ("train", "valid", "test"):
        heads, relations, tails = getattr(graph, split).T
        assert known.contains(heads, 2 * relations, tails).all()
        assert known.contains(tails, 2 * relations + 1, heads).all()
    model = toys.model(graph)
    assert outcome(evaluate(model, graph, known=known)) == outcome(evaluate(model, graph))


@pytest.mark.parametrize("name", ["nations", "toy"])
def test_breakdowns_recombine(name: str) -> None:
    """Averages over groups, weighted by their triples, are the averages over all."""
    graph = load(name)
    result = evaluate(toys.model(graph), graph)
    whole, n = result.metrics(), len(graph.test)
    for groups in (result.by_relation(), result.by_cardinality(), result.by_seen()):
        assert sum(group["triples"] for group in groups.values()) == n
        for measure in ("mrr", "mr", "hits@1", "hits@3", "hits@10"):
            recombined = sum(group["triples"] * group[measure] for group in groups.values()) / n
            assert recombined == pytest.approx(whole[measure], rel=1e-12), measure
    directions = result.by_direction()
    for measure in ("mrr", "mr", "hits@1", "hits@10"):
        both = (directions["tail"][measure] + directions["head"][measure]) / 2
        assert both == pytest.approx(whole[measure], rel=1e-12)
    reference = naive(graph, "test", lambda h, r: toys.model(graph).score_all(torch.tensor([h]), torch.tensor([r]))[0])
    tail_ranks = [1 + better + tied / 2 for better, tied, _ in reference[:n]]
    assert directions["tail"]["mr"] == pytest.approx(np.mean(tail_ranks))


def graph_with_gaps() -> TripleSet:
    """z, x and y occur in test only; r has one tail per head, many heads per tail."""
    train = [(h, "r", "hub") for h in "abcd"] + [(h, "s", t) for h, t in zip("abcd", "bcda", strict=True)]
    return from_triples(
        train, [("a", "s", "c")], [("b", "r", "d"), ("x", "s", "a"), ("a", "z", "d"), ("a", "r", "y")], name="gaps"
    )


def test_groups_by_hand() -> None:
    result = evaluate(toys.model(graph_with_gaps()), graph_with_gaps())
    relations, cardinality, seen = (
        {name: group["triples"] for name, group in groups.items()}
        for groups in (result.by_relation(), result.by_cardinality(), result.by_seen())
    )
    assert relations == {"r": 2, "s": 1, "z": 1}
    assert cardinality == {"N-1": 2, "1-1": 1, "unseen": 1}
    assert seen == {"entities seen in train": 2, "with an unseen entity": 2}
    ranks = result.ranks.ranks()
    assert result.by_relation()["s"]["mr"] == pytest.approx((ranks[1] + ranks[5]) / 2)


def test_interval() -> None:
    graph = load("nations")
    result = evaluate(toys.model(graph), graph)
    low, high = result.interval()
    assert low < result.metrics()["mrr"] < high
    assert result.interval() == (low, high)
    assert result.interval(seed=1) != (low, high)
    narrower = result.interval(confidence=0.5)
    assert low < narrower[0] < narrower[1] < high
    per_triple = (1 / result.ranks.ranks()).reshape(2, -1).mean(0)
    normal = 2 * 1.96 * per_triple.std() / len(per_triple) ** 0.5
    assert high - low == pytest.approx(normal, rel=0.15)


def test_interval_of_a_single_triple() -> None:
    graph = from_triples([("a", "r", "b"), ("b", "r", "c")], [], [("b", "r", "a")])
    result = evaluate(toys.model(graph), graph)
    assert result.interval() == (result.metrics()["mrr"],) * 2


def test_report_is_plain_values() -> None:
    import json

    graph = load("toy")
    report = evaluate(toys.model(graph), graph).report()
    assert json.loads(json.dumps(report)) == report
    assert (report["triples"], report["rankings"], report["headline"]) == (20, 40, "realistic")
    assert report["checksum"] == graph.checksum


def test_non_finite_scores_are_refused() -> None:
    ranker = tied_scores(load("toy"))
    ranker.scores[:, :, 3] = float("nan")
    with pytest.raises(NonFiniteScores, match="ranks need finite scores"):
        evaluate(ranker, load("toy"))


@pytest.mark.parametrize("spoil", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["entity", "tail_bias", "raw_curvature", "graph_prior.weights"])
def test_a_model_with_non_finite_parameters_is_refused(name: str, spoil: float) -> None:
    graph = load("toy")
    model = toys.model(graph)
    model.set_graph_prior(GraphPrior(torch.ones(2 * graph.num_relations), graph.train))
    assert evaluate(model, graph).metrics()["mrr"] > 0
    with torch.no_grad():
        dict([*model.named_parameters(), *model.named_buffers()])[name].fill_(spoil)
    with pytest.raises(NonFiniteScores, match="ranks need finite scores"):
        evaluate(model, graph)


def test_an_empty_split_is_refused() -> None:
    graph = from_triples([("a", "r", "b")], [], [("b", "r", "a")], name="small")
    with pytest.raises(ValueError) as complaint:
        evaluate(toys.model(graph), graph, "valid")
    assert str(complaint.value) == ("small has no valid triples to rank; name another split, or split the file again")


def test_a_sample_ranks_as_the_whole_split_does() -> None:
    graph = toys.toy_graph()
    model = toys.model(graph)
    whole = evaluate(model, graph, "test")
    sample = evaluate(model, graph, "test", sample=6, seed=3)
    assert sample.sample is not None and len(sample.sample) == 6
    both = np.concatenate([sample.sample, sample.sample + len(graph.test)])
    assert np.array_equal(sample.ranks.ranks(), whole.ranks[both].ranks())
    assert np.array_equal(sample.triples, graph.test[sample.sample])
    report = sample.report()
    assert (report["triples"], report["sample_of"], report["rankings"]) == (6, 20, 12)
    assert whole.report()["sample_of"] is None
    assert evaluate(model, graph, "test", sample=20).sample is None
    assert not np.array_equal(evaluate(model, graph, "test", sample=6, seed=4).sample, sample.sample)


def test_the_filter_about_some_queries() -> None:
    graph = toys.toy_graph()
    about = with_reciprocals(graph.test[:4])
    some, every = known_answers(graph, about), known_answers(graph)
    assert len(some.tails) < len(every.tails)
    for ours, theirs in zip(some.gather(*about.T[:2]), every.gather(*about.T[:2]), strict=True):
        assert np.array_equal(ours, theirs)


def test_it_prints_as_a_table() -> None:
    graph = toys.toy_graph()
    result = evaluate(toys.model(graph), graph, sample=6)
    title, header, _, realistic, *_ = repr(result).splitlines()
    assert title == "Link prediction on toy, test split, a sample of 6 triples, filtered, both directions"
    assert header.split()[:2] == ["ties", "MRR"] and realistic.split()[1] == f"{result.metrics()['mrr']:.4f}"
    assert f"{result.metrics()['mrr']:.4f}</td>" in result._repr_html_()


def test_its_data_frame_has_a_row_for_each_rank() -> None:
    pytest.importorskip("pandas")
    graph = toys.toy_graph()
    result = evaluate(toys.model(graph), graph)
    frame = result.to_pandas()
    assert len(frame) == 2 * len(graph.test) and (1 / frame["rank"]).mean() == pytest.approx(result.metrics()["mrr"])
    tails = frame[frame["query"] == "tail"]
    assert (1 / tails["rank"]).mean() == pytest.approx(result.by_direction()["tail"]["mrr"])
    assert frame["tail"][0] == graph.entities[graph.test[0, 2]]
