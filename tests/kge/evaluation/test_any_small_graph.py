"""The evaluator against plain loops, for any small graph and protocol, scores with ties, masks and graph priors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kge_data import TripleSet
from mulde.errors import UsageError
from mulde.kge.evaluation.link_prediction import Ranker, evaluate
from mulde.kge.evaluation.protocols import PROTOCOLS, STRICT, EvaluationProtocol
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.euclidean_transe import EuclideanTransE
from mulde.metrics.ranks import NonFiniteScores, Policy

Score = Callable[[int, int, int], float]
"""Score of head, internal relation and tail."""

POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass
class Table:
    """A ranker that reads its scores (e, 2r, e) from a table."""

    scores: Tensor

    def blocks(self, heads: Tensor, relations: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.arange(len(heads)).flip(0).split(2):
            yield rows, self.scores[heads[rows], relations[rows]].clone()


@st.composite
def graphs(draw: st.DrawFn) -> TripleSet:
    """Two to six entities and one or two relations, with repeated triples and self-loops; train may be empty."""
    entities, relations = draw(st.integers(2, 6)), draw(st.integers(1, 2))
    ids = st.tuples(st.integers(0, entities - 1), st.integers(0, relations - 1), st.integers(0, entities - 1))
    parts = [draw(st.lists(ids, min_size=least, max_size=10)) for least in (0, 0, 1)]
    arrays = [np.array(part, dtype=np.int64).reshape(-1, 3) for part in parts]
    return TripleSet("any", *arrays, tuple(map(str, range(entities))), tuple(map(str, range(relations))))


FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
"""Of scores; small integers, so that many are equal and no sum is rounded."""


def numbers(seed: int, *shape: int, least: int = -2, most: int = 2) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(least, most + 1, shape)).double()


PROTOCOL = st.sampled_from(sorted(PROTOCOLS))
FULL = [name for name, rules in PROTOCOLS.items() if rules.unseen]
"""Protocols that rank all triples."""


def plain_ranks(graph: TripleSet, score: Score, policy: Policy, rules: EvaluationProtocol) -> list[float]:
    """Ranks of all (h, r, ?), then of all (?, r, t), of the test split."""
    facts = {tuple(triple) for part in (graph.train, graph.valid, graph.test) for triple in part.tolist()}
    entities = {entity for h, _, t in graph.train.tolist() for entity in (h, t)}
    candidates = range(graph.num_entities) if rules.unseen else entities
    found = []
    for backwards in (False, True):
        for h, r, t in ranked(graph, rules):
            query, answer = (t, h) if backwards else (h, t)
            own, better, equal = score(query, 2 * r + backwards, answer), 0, 0
            for entity in candidates:
                known = ((entity, r, t) if backwards else (h, r, entity)) in facts
                if entity != answer and not known and (rules.query_entity or entity != query):
                    other = score(query, 2 * r + backwards, entity)
                    better, equal = better + (other > own), equal + (other == own)
            found.append(1 + better + {"optimistic": 0.0, "realistic": equal / 2, "pessimistic": equal}[policy])
    return found


def ranked(graph: TripleSet, rules: EvaluationProtocol) -> list[list[int]]:
    """The test triples that a protocol ranks."""
    train = graph.train.tolist()
    entities, relations = {e for h, _, t in train for e in (h, t)}, {r for _, r, _ in train}
    triples: list[list[int]] = graph.test.tolist()
    return [each for each in triples if rules.unseen or ({each[0], each[2]} <= entities and each[1] in relations)]


def check(ranker: Ranker, graph: TripleSet, score: Score, protocol: str, embeddings_only: bool = False) -> None:
    """Ranks and metrics of every policy and direction."""
    rules = PROTOCOLS[protocol]
    triples = ranked(graph, rules)
    if not triples:
        with pytest.raises(UsageError, match=f"the protocol {protocol} ranks no such triple; use the protocol strict"):
            evaluate(ranker, graph, protocol=protocol)
        return
    result = evaluate(ranker, graph, embeddings_only=embeddings_only, protocol=protocol)
    assert result.triples.tolist() == triples
    for policy in POLICIES:
        expected = plain_ranks(graph, score, policy, rules)
        assert result.ranks.ranks(policy).tolist() == expected
        assert result.metrics(policy)["mrr"] == pytest.approx(sum(1 / rank for rank in expected) / len(expected))
        assert result.metrics(policy)["hits@3"] == sum(rank <= 3 for rank in expected) / len(expected)
    both = plain_ranks(graph, score, rules.ties, rules)
    directions = {"tail": both[: len(triples)], "head": both[len(triples) :]}
    for name, ranks in directions.items():
        assert result.by_direction()[name]["mr"] == pytest.approx(sum(ranks) / len(ranks))
    assert result.metrics()["mr"] == pytest.approx(sum(both) / len(both))


@FEW
@given(graphs(), SEEDS, PROTOCOL)
def test_scores_of_a_table(graph: TripleSet, seed: int, protocol: str) -> None:
    scores = numbers(seed, graph.num_entities, 2 * graph.num_relations, graph.num_entities)
    check(Table(scores), graph, lambda h, r, t: scores[h, r, t].item(), protocol)


def small_model(graph: TripleSet, scorer: Any, seed: int) -> KGEModel:
    """A model with self-loops masked as by the graph, integers as weights, and a graph prior."""
    model = KGEModel(scorer, graph.num_entities, graph.num_relations, ModelConfig(dim=2, dtype="float64")).eval()
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.copy_(numbers(seed + place, *parameter.shape))
    prior = GraphPrior(numbers(seed, 2 * graph.num_relations), graph.train)
    return model.mask_self_loops(graph.train).set_graph_prior(prior)


def scores_of(model: KGEModel, graph: TripleSet, embeddings_only: bool) -> Score:
    """The scores of `small_model` by their definitions, in integers."""
    entity, head_bias, tail_bias = (table.tolist() for table in (model.entity, model.head_bias, model.tail_bias))
    (relation,) = (table.tolist() for table in model.relation.values())
    train = {(h, 2 * r, t) for h, r, t in graph.train.tolist()} | {
        (t, 2 * r + 1, h) for h, r, t in graph.train.tolist()
    }
    loops = {r for h, r, t in train if h == t}
    weights = model.graph_prior.weights.tolist() if model.graph_prior is not None else []

    def score(h: int, r: int, t: int) -> float:
        if not embeddings_only and h == t and r not in loops:
            return float("-inf")
        (a, b), (c, d), (x, y) = entity[h], relation[r], entity[t]
        if model.scorer is ComplEx:
            value = (a * c - b * d) * x + (a * d + b * c) * y
        else:
            value = -((a + c - x) ** 2) - (b + d - y) ** 2
        answers_another = any((other, r, t) in train for other in range(graph.num_entities) if other != h)
        prior = weights[r] * answers_another if not embeddings_only else 0
        return float(value + head_bias[h] + tail_bias[t] + prior)

    return score


@pytest.mark.parametrize("embeddings_only", [False, True])
@pytest.mark.parametrize("scorer", [ComplEx, EuclideanTransE])
@FEW
@given(graph=graphs(), seed=SEEDS, protocol=PROTOCOL)
def test_scores_of_a_model(graph: TripleSet, seed: int, scorer: Any, embeddings_only: bool, protocol: str) -> None:
    """With graph prior and masked self-loops in the strict protocol only."""
    model = small_model(graph, scorer, seed)
    score = scores_of(model, graph, embeddings_only or protocol != STRICT.name)
    check(model, graph, score, protocol, embeddings_only)


@FEW
@given(graphs(), SEEDS, st.sampled_from([float("nan"), float("inf"), -float("inf")]), st.sampled_from(FULL))
def test_scores_that_are_not_finite_are_an_error(graph: TripleSet, seed: int, value: float, protocol: str) -> None:
    """Anywhere among the scores of a query, also of a known answer; NaN would count as a perfect rank."""
    shape = graph.num_entities, 2 * graph.num_relations, graph.num_entities
    h, r, t = graph.test[seed % len(graph.test)].tolist()
    scores = numbers(seed, *shape)
    query, internal = (h, 2 * r) if seed % 2 else (t, 2 * r + 1)
    scores[query, internal, seed % graph.num_entities] = value
    with pytest.raises(NonFiniteScores):
        evaluate(Table(scores), graph, protocol=protocol)
    model = small_model(graph, EuclideanTransE, seed)
    with torch.no_grad():
        list(model.parameters())[seed % 4].view(-1)[:] = value
    with pytest.raises(NonFiniteScores):
        evaluate(model, graph, protocol=protocol)
