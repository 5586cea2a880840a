"""Best answers against a plain ranking of all scores, one query at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kge_data.tripleset import TripleSet
from mulde.errors import NonFiniteError
from mulde.geometry.poincare import expmap0, squared_distance
from mulde.kge.inference.known import Known
from mulde.kge.inference.top_k import TorchPredictor, middle_curvature, nearest
from mulde.kge.model import selection
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.directions import score_both_directions
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from tests.kge.toys import model as toy_model
from tests.kge.toys import toy_graph


@pytest.fixture(scope="module")
def graph() -> TripleSet:
    return toy_graph()


@pytest.fixture(scope="module")
def model(graph: TripleSet) -> KGEModel:
    made = toy_model(graph)
    with torch.no_grad():
        made.raw_curvature.copy_(torch.linspace(-1, 2, len(made.raw_curvature)))
        made.tail_bias.copy_(torch.linspace(-0.3, 0.3, graph.num_entities))
    return made


@pytest.mark.parametrize("new", [False, True])
def test_tails(new: bool, model: KGEModel, graph: TripleSet) -> None:
    known = Known(graph).answers
    heads, relations = np.array([3, 7, 3, 0, 7]), np.array([0, 5, 0, 2, 1])  # one of them twice
    best = TorchPredictor(model).best_tails(heads, relations, 20, known if new else None)
    for row, (head, relation) in enumerate(zip(heads.tolist(), relations.tolist(), strict=True)):
        scores = model.score_all(torch.tensor([head]), torch.tensor([relation]))[0]
        order = scores.argsort(descending=True, stable=True).tolist()
        hidden = set(known.answers(head, relation).tolist()) if new else set()
        expected = [(place, entity) for place, entity in enumerate(order, 1) if entity not in hidden][:20]
        found = [pair for pair in zip(best.ranks[row].tolist(), best.ids[row].tolist(), strict=True) if pair[1] >= 0]
        assert found == expected
        assert np.allclose(best.scores[row, : len(found)], scores[best.ids[row, : len(found)]], rtol=1e-12)


def test_a_row_with_fewer_answers_ends_in_minus_one(model: KGEModel, graph: TripleSet) -> None:
    known = Known(graph).answers
    row = int(np.diff(known.offsets).argmax())
    head, relation, hidden = known.heads[row], known.relations[row], int(np.diff(known.offsets)[row])
    best = TorchPredictor(model).best_tails(np.array([head]), np.array([relation]), graph.num_entities, known)
    assert (best.ids[0] == -1).sum() == hidden
    assert (best.ids[0, -hidden:] == -1).all() and np.isnan(best.scores[0, -hidden:]).all()


def test_equal_scores_are_ordered_by_id_also_at_the_last_place() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 40, (50, 3000), generator=generator).float()
    for k in (1, 7, 100, 2999):
        ids, values = selection.best(scores, k)
        expected = scores.sort(dim=1, descending=True, stable=True)
        assert torch.equal(ids, expected.indices[:, :k])
        assert torch.equal(values, expected.values[:, :k])


def test_relations(model: KGEModel, graph: TripleSet) -> None:
    heads, relations, tails_ = graph.train[:6].T
    best = TorchPredictor(model).best_relations(heads, tails_, 3)
    for row in range(6):
        scores = [
            score_both_directions(model, heads[[row]], np.array([relation]), tails_[[row]]).mean()
            for relation in range(graph.num_relations)
        ]
        assert best.ids[row].tolist() == np.argsort(-np.array(scores), kind="stable").tolist()
    new = TorchPredictor(model).best_relations(heads, tails_, 3, Known(graph).answers)
    assert not (new.ids == relations[:, None]).any()
    kept = new.ids >= 0
    for row, column in zip(*np.nonzero(kept), strict=True):
        assert new.ranks[row, column] == best.ids[row].tolist().index(new.ids[row, column]) + 1


def test_scores_of_both_directions(model: KGEModel, graph: TripleSet) -> None:
    heads, relations, tails_ = graph.valid.T
    both = torch.from_numpy(score_both_directions(model, heads, relations, tails_))
    h, r, t = map(torch.from_numpy, (heads.copy(), relations.copy(), tails_.copy()))
    rows = torch.arange(len(h))
    assert torch.allclose(both[:, 0], model.score_all(h, 2 * r)[rows, t], rtol=1e-10)
    assert torch.allclose(both[:, 1], model.score_all(t, 2 * r + 1)[rows, h], rtol=1e-10)


def test_nearest_by_hyperbolic_distance(model: KGEModel) -> None:
    curvature = middle_curvature(model)
    assert curvature == pytest.approx(model.curvature().median().item())  # type: ignore[union-attr]
    for given in (None, 0.3):
        best = nearest(model, np.array([4, 9]), 5, given)
        value = torch.tensor(given or curvature, dtype=torch.float64)
        points = expmap0(model.entity.detach(), value)
        for row, entity in enumerate((4, 9)):
            distances = squared_distance(points[entity], points, value).sqrt()
            distances[entity] = torch.inf
            assert best.ids[row].tolist() == distances.argsort()[:5].tolist()
            assert np.allclose(best.scores[row], distances.sort().values[:5], rtol=1e-9)


@pytest.mark.parametrize("scorer", [RotE, ComplEx])
def test_nearest_by_euclidean_distance(scorer: type[Scorer], graph: TripleSet) -> None:
    flat = toy_model(graph, scorer)
    best = nearest(flat, np.array([2]), graph.num_entities + 5)
    distances = (flat.entity.detach() - flat.entity.detach()[2]).norm(dim=1)
    assert middle_curvature(flat) is None
    assert best.ids[0].tolist() == distances.argsort()[1:].tolist()
    assert np.allclose(best.scores[0], distances.sort().values[1:])


def test_nearest_entities_of_a_manifold_model(graph: TripleSet) -> None:
    config = ModelConfig(dim=4, parametrization="manifold", curvature="fixed", initial_curvature=0.7, dtype="float64",
                         init_scale=0.4)  # fmt: skip
    model = KGEModel(RotH, graph.num_entities, graph.num_relations, config)
    value = torch.tensor(0.7, dtype=torch.float64)
    distances = squared_distance(model.entity[3], model.entity, value).sqrt().detach()
    assert nearest(model, np.array([3]), 4).ids[0].tolist() == distances.argsort()[1:5].tolist()


def test_a_diverged_model_is_refused(graph: TripleSet) -> None:
    broken = toy_model(graph)
    with torch.no_grad():
        broken.entity[1, 0] = torch.nan
    with pytest.raises(NonFiniteError):
        TorchPredictor(broken).best_tails(np.array([0]), np.array([0]), 3)
    with pytest.raises(NonFiniteError):
        TorchPredictor(broken).best_relations(np.array([0]), np.array([1]), 3)


def test_the_split_that_knows_a_triple(graph: TripleSet) -> None:
    triples = np.concatenate([graph.test[:2], graph.train[:2], graph.valid[:2], [[0, 0, 0]]])
    known = Known(graph).split(*triples.T)
    in_some = (np.concatenate([graph.train, graph.valid, graph.test]) == 0).all(1).any()
    assert known[:6].tolist() == [2, 2, 0, 0, 1, 1] and (known[6] >= 0) == in_some
    twice = TripleSet("x", graph.train, graph.train, graph.train, graph.entities, graph.relations)
    assert set(Known(twice).split(*graph.train.T).tolist()) == {0}
