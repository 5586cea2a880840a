"""The search of candidate facts against a loop over all pairs of entities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from kge_data import from_triples
from kge_data.tripleset import TripleSet
from mulde.kge.inference import candidates
from mulde.kge.inference.candidates import Candidates, Kind, best_pairs
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.complex import ComplEx
from mulde.metrics.ranks import NonFiniteScores
from tests.kge.toys import model as toy_model

KINDS: tuple[Kind, ...] = ("observed", "either", "all")


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    """Three relations of 13 entities, one of them with a self-loop in train."""
    draw = np.random.default_rng(3)
    triples = {(f"e{h:02}", f"r{r}", f"e{t:02}") for r in range(3) for h, t in draw.integers(0, 13, (14, 2)) if h != t}
    some = sorted(triples)
    return from_triples([*some[::2], ("e01", "r1", "e01"), ("e12", "r0", "e11")], some[1::4], some[3::4], name="toy")


@pytest.fixture(scope="module")
def model(graph: TripleSet) -> KGEModel:
    made = toy_model(graph)
    with torch.no_grad():
        made.raw_curvature.copy_(torch.linspace(-1, 2, len(made.raw_curvature)))
        made.tail_bias.copy_(torch.linspace(-0.3, 0.3, graph.num_entities))
    weights = torch.linspace(-1, 1.5, 2 * graph.num_relations, dtype=torch.float64)
    return made.set_graph_prior(GraphPrior(weights, graph.train))


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "SIDE", 4)


def possible(graph: TripleSet, kind: Kind, relation: int) -> list[tuple[int, int]]:
    """The candidates of a relation, by their definition."""
    train = {(h, t) for h, r, t in graph.train.tolist() if r == relation}
    heads, tails = {h for h, _ in train}, {t for _, t in train}
    loops = any(h == t for h, t in train)
    need = {"observed": 2, "either": 1, "all": 0}[kind]
    return [
        (h, t)
        for h, t in itertools.product(range(graph.num_entities), repeat=2)
        if (h, t) not in train and (h != t or loops) and (h in heads) + (t in tails) >= need
    ]


Scored = list[tuple[float, int, int]]


def ordered(model: KGEModel, relation: int, pairs: list[tuple[int, int]], graph_prior: bool) -> Scored:
    """(-score, head, tail) of each pair, best first; the score is the mean of both directions."""
    heads, tails = (torch.tensor(column) for column in zip(*pairs, strict=True))
    total = torch.zeros(len(pairs), dtype=torch.float64)
    for first, internal, second in ((heads, 2 * relation, tails), (tails, 2 * relation + 1, heads)):
        query = first, torch.full_like(first, internal), second
        total += model.score(*query).detach()
        if graph_prior:
            assert model.graph_prior is not None
            total += model.graph_prior.of(*query)
    return sorted((-score / 2, h, t) for score, (h, t) in zip(total.tolist(), pairs, strict=True))


@pytest.mark.parametrize("graph_prior", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_are_those_of_a_loop(kind: Kind, graph_prior: bool, model: KGEModel, graph: TripleSet) -> None:
    some = Candidates(graph, kind)
    for relation in range(graph.num_relations):
        scored = ordered(model, relation, possible(graph, kind, relation), graph_prior)
        for k in (9, 1000):
            found = best_pairs(model, some, relation, k, graph_prior)
            assert list(zip(found.heads, found.tails, strict=True)) == [(h, t) for _, h, t in scored[:k]]
            assert np.allclose(-found.scores, [score for score, _, _ in scored[:k]], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_number_and_membership(kind: Kind, graph: TripleSet) -> None:
    some = Candidates(graph, kind)
    for relation in range(graph.num_relations):
        pairs = set(possible(graph, kind, relation))
        assert some.count(relation) == len(pairs)
        triples = np.array([(h, relation, t) for h in range(graph.num_entities) for t in range(graph.num_entities)])
        assert some.contains(triples).tolist() == [(h, t) in pairs for h, _, t in triples.tolist()]


def test_equal_scores_are_ordered_by_head_and_tail(graph: TripleSet) -> None:
    """With small whole numbers all sums are exact, and many are equal."""
    made = KGEModel(ComplEx, graph.num_entities, graph.num_relations, ModelConfig(dim=2, dtype="float64"))
    with torch.no_grad():
        for table in made.parameters():
            table.copy_(torch.randint(-1, 2, table.shape, generator=torch.Generator().manual_seed(0)))
    scored = ordered(made, 0, possible(graph, "all", 0), False)
    assert len({score for score, _, _ in scored[:60]}) < 10
    for k in (5, 17, 60):
        found = best_pairs(made, Candidates(graph, "all"), 0, k)
        assert list(zip(found.heads, found.tails, strict=True)) == [(h, t) for _, h, t in scored[:k]]


def test_memory_is_that_of_a_tile(model: KGEModel, graph: TripleSet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    kept: list[int] = []
    score, merge = candidates.pair_scores, candidates._merge

    def counted_score(*given: object) -> torch.Tensor:
        scores = score(*given)  # type: ignore[arg-type]
        seen.append((scores.shape[0], scores.shape[1]))
        return scores

    def counted_merge(*given: object) -> candidates.Pairs:
        kept.append(len(given[1].heads))  # type: ignore[attr-defined]
        return merge(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "pair_scores", counted_score)
    monkeypatch.setattr(candidates, "_merge", counted_merge)
    tiles: list[int] = []
    some = Candidates(graph, "all")
    best_pairs(model, some, 2, 3, scored=tiles.append)
    assert max(map(max, seen)) == 4 and len(seen) == 16  # ceil(13 / 4) squared
    assert sum(tiles) == some.pairs(2) == sum(rows * columns for rows, columns in seen) == 13**2
    assert max(kept) <= 16 and kept[0] == 3  # at most a tile, and of the first only k


def test_a_diverged_model_is_refused(graph: TripleSet) -> None:
    broken = toy_model(graph)
    with torch.no_grad():
        broken.entity[1, 0] = torch.nan
    with pytest.raises(NonFiniteScores):
        best_pairs(broken, Candidates(graph, "all"), 0, 3)
