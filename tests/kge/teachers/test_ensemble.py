"""The ensemble: frozen, without gradient, teachers of any shape."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close

from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.kge.teachers.ensemble import Ensemble
from tests.kge import toys

GRAPH = toys.toy_graph()
HEADS, RELATIONS = torch.arange(10), torch.arange(10) % 6


def test_scores_are_those_of_each_teacher_in_order() -> None:
    ensemble, ids = toys.ensemble(GRAPH), toys.ids(GRAPH, 10, 7)
    found = ensemble.score(HEADS, RELATIONS, ids)
    assert found.shape == (4, 10, 7) and len(ensemble) == 4
    for scores, teacher in zip(found, ensemble.teachers, strict=True):
        assert torch.equal(scores, teacher.score(HEADS, RELATIONS, ids))


def test_nothing_in_it_learns() -> None:
    ensemble, ids = toys.ensemble(GRAPH), toys.ids(GRAPH, 10, 7)
    before = copy.deepcopy(ensemble.state_dict())
    ensemble.train()
    assert not any(module.training for teacher in ensemble.teachers for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in ensemble.parameters())
    assert not ensemble.score(HEADS, RELATIONS, ids).requires_grad
    assert not next(iter(ensemble.blocks(HEADS, RELATIONS)))[1].requires_grad
    assert all(torch.equal(value, before[name]) for name, value in ensemble.state_dict().items())


def test_no_gradient_even_from_a_teacher_that_would_give_one() -> None:
    class Willing(torch.nn.Module):
        weight = torch.ones(1, requires_grad=True)

        def score(self, heads: torch.Tensor, relations: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            return self.weight * ids.double()

        def score_all(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
            return self.weight * torch.ones(len(heads), 5)

    ensemble = Ensemble([Willing()])
    assert not ensemble.score(HEADS, RELATIONS, toys.ids(GRAPH, 10, 3)).requires_grad
    assert not next(iter(ensemble.blocks(HEADS, RELATIONS)))[1].requires_grad


def test_plain_ensemble_is_the_sum() -> None:
    ensemble = toys.ensemble(GRAPH)
    heads, relations = torch.arange(25).repeat(6), torch.arange(150) % 6
    expected = torch.stack([teacher.score_all(heads, relations) for teacher in ensemble.teachers]).sum(0)
    delivered = []
    for rows, scores in ensemble.blocks(heads, relations):
        assert_close(scores, expected[rows], rtol=1e-12, atol=1e-12)
        delivered += rows.tolist()
    assert sorted(delivered) == list(range(150))


def test_weights_count_for_their_own_query() -> None:
    ensemble = toys.ensemble(GRAPH)
    weights = torch.rand(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    every = torch.stack([teacher.score_all(HEADS, RELATIONS) for teacher in ensemble.teachers])
    for rows, scores in ensemble.blocks(HEADS, RELATIONS, weights):
        assert_close(scores, torch.einsum("bm,mbe->be", weights, every)[rows])


def test_teachers_may_differ_in_everything_but_the_graph() -> None:
    shape = GRAPH.num_entities, GRAPH.num_relations
    ensemble = Ensemble(
        [
            KGEModel(RotH, *shape, ModelConfig(dim=4)),
            KGEModel(RotE, *shape, ModelConfig(dim=10, dtype="float64", bias="none")),
        ]
    )
    scores = ensemble.score(HEADS, RELATIONS, toys.ids(GRAPH, 10, 7))
    assert scores.shape == (2, 10, 7) and scores.dtype == torch.float64


def test_an_empty_ensemble_is_refused() -> None:
    with pytest.raises(ValueError) as complaint:
        Ensemble([])
    assert str(complaint.value) == (
        "an ensemble needs at least one teacher; got none; pass the teachers' run folders or models"
    )
