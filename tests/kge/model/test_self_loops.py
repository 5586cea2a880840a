"""Relations without self-loops in train mask the query entity in every form of a score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kge_data
import mulde
from kge_data.inverse import user_relation
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.model import ranking
from mulde.kge.model.graph_terms import MASKED
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.teachers.ensemble import Ensemble
from mulde.metrics.ranks import rank
from tests.contracts import scorer as contract
from tests.contracts.scorer import SCORERS

HEADS, RELATIONS, TARGETS = contract.queries(60)
TARGETS = torch.where(torch.arange(60) % 3 == 0, HEADS, TARGETS)  # self-loops among the targets
LOOP = 1  # the only user relation that has one


def learned(scorer: type[Scorer]) -> tuple[KGEModel, torch.Tensor]:
    """A model with a single self-loop in train, and which queries mask their own head."""
    model = contract.model_of(scorer, next(iter(contract.configurations(scorer))))
    return model.mask_self_loops(np.array([[0, 0, 1], [2, LOOP, 2]])).eval(), user_relation(RELATIONS) != LOOP


@pytest.mark.parametrize("scorer", SCORERS)
def test_answers_are_masked_and_scores_are_not(scorer: type[Scorer]) -> None:
    model, masked = learned(scorer)
    assert 0 < masked.sum() < len(masked)
    every, own = ranked(model), HEADS.unsqueeze(1)
    assert ((every.gather(1, own) == MASKED).squeeze(1) == masked).all() and (every == MASKED).sum() == masked.sum()

    unmasked = contract.model_of(scorer, next(iter(contract.configurations(scorer)))).eval()
    assert torch.equal(model.score_all(HEADS, RELATIONS), ranked(unmasked))
    ids = torch.cat([own, TARGETS.unsqueeze(1)], 1)
    with torch.no_grad():
        assert torch.equal(model.score(HEADS, RELATIONS, ids), unmasked.score(HEADS, RELATIONS, ids))
    assert torch.equal(model.top(HEADS, RELATIONS, 5), unmasked.top(HEADS, RELATIONS, 5))


@pytest.mark.parametrize("few", [0.0, 1.0], ids=["all scored", "few scored"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_counting_masks_the_same(scorer: type[Scorer], few: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "FEW", few)
    model, masked = learned(scorer)
    assert (masked & (HEADS == TARGETS)).any()
    with torch.no_grad():  # many that tie with the query entity exactly: other equal vectors differ by rounding
        model.entity[10:] = 0
        if model.config.bias != "none":
            model.tail_bias[10:] = 0
    rows, known = left_out(torch.arange(60))
    assert (known == HEADS[rows]).any()
    for embeddings_only in (False, True):
        scores = model.score_all(HEADS, RELATIONS) if embeddings_only else ranked(model)
        expected = rank(scores, TARGETS, rows, known)
        for found in model.count_better(HEADS, RELATIONS, TARGETS, left_out, embeddings_only):
            own = found.rows.numpy()
            assert found.better.tolist() == expected.better[own].tolist()
            assert found.tied.tolist() == expected.tied[own].tolist()
            assert (found.all + 1).tolist() == expected.candidates[own].tolist()


def left_out(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each query an entity, and where its head is even the head itself."""
    even = (HEADS[rows] % 2 == 0).nonzero().squeeze(1)
    others = (HEADS[rows] + 5 * RELATIONS[rows] + 3) % contract.ENTITIES
    return torch.cat([torch.arange(len(rows)), even]), torch.cat([others, HEADS[rows][even]])


def ranked(model: KGEModel) -> torch.Tensor:
    """The scores (b, e) that the queries are answered by."""
    scores = torch.empty(len(HEADS), model.num_entities, dtype=model.entity.dtype)
    for rows, block in model.blocks(HEADS, RELATIONS):
        scores[rows] = block
    return scores


def test_teachers_are_queried_without_the_mask() -> None:
    """A masked head scores -1e9, which would dominate the KL divergence of teachers."""
    model, masked = learned(SCORERS[0])
    ensemble = Ensemble([model, learned(SCORERS[1])[0]])
    candidates = torch.stack([HEADS, TARGETS], 1)
    assert masked.any() and ensemble.score(HEADS, RELATIONS, candidates).abs().max() < 1e6
    for _, scores in ensemble.blocks(HEADS, RELATIONS):
        assert scores.abs().max() < 1e6


def test_a_trained_model_masks_and_ranks_better() -> None:
    graph = kge_data.load("umls")
    model = mulde.train("rote", graph, dim=8, epochs=2, eval_every=2, batch_size=200, lr=0.05)
    assert not (graph.train[:, 0] == graph.train[:, 2]).any() and not model.self_loops.any()
    seen = evaluate(model, graph).metrics()["mrr"]
    model.unmask_self_loops()
    assert evaluate(model, graph).metrics()["mrr"] < seen - 0.02

    anything = mulde.train("rote", graph, dim=8, epochs=2, eval_every=2, batch_size=200, lr=0.05, mask_self_loops=False)
    assert anything.self_loops.all()
    assert torch.equal(anything.entity, model.entity)
