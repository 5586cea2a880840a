"""A relation without loops in train does not answer with the entity asked about: in every form of a score alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kge_data
import mulde
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.model import ranking
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.scoring import MASKED
from mulde.kge.teachers.ensemble import Ensemble
from mulde.metrics.ranks import rank
from tests.contracts import scorer as laws
from tests.kge.scorers.test_scorer_contract import SCORERS

HEADS, RELATIONS, TARGETS = laws.queries(60)
TARGETS = torch.where(torch.arange(60) % 3 == 0, HEADS, TARGETS)  # loops among what is asked
LOOP = 1  # the only relation of the user's that has one


def learned(scorer: type[Scorer]) -> tuple[KGEModel, torch.Tensor]:
    """A model that has seen a single loop, and which queries bar their own head."""
    model = laws.model_of(scorer, next(iter(laws.configurations(scorer))))
    return model.learn_self_loops(np.array([[0, 0, 1], [2, LOOP, 2]])).eval(), RELATIONS // 2 != LOOP


@pytest.mark.parametrize("scorer", SCORERS)
def test_answers_know_of_loops_and_scores_do_not(scorer: type[Scorer]) -> None:
    model, masked = learned(scorer)
    assert 0 < masked.sum() < len(masked)
    every, own = ranked(model), HEADS.unsqueeze(1)
    assert ((every.gather(1, own) == MASKED).squeeze(1) == masked).all() and (every == MASKED).sum() == masked.sum()

    ignorant = laws.model_of(scorer, next(iter(laws.configurations(scorer)))).eval()
    assert torch.equal(model.score_all(HEADS, RELATIONS), ranked(ignorant))
    ids = torch.cat([own, TARGETS.unsqueeze(1)], 1)
    with torch.no_grad():
        assert torch.equal(model.score(HEADS, RELATIONS, ids), ignorant.score(HEADS, RELATIONS, ids))
    assert torch.equal(model.top(HEADS, RELATIONS, 5), ignorant.top(HEADS, RELATIONS, 5))


@pytest.mark.parametrize("few", [0.0, 1.0], ids=["all scored", "few scored"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_counting_knows_of_loops(scorer: type[Scorer], few: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "FEW", few)
    model, masked = learned(scorer)
    assert (masked & (HEADS == TARGETS)).any()
    with torch.no_grad():  # many who tie with the entity asked about, exactly: other equal vectors differ by rounding
        model.entity[10:] = 0
        if model.config.bias != "none":
            model.tail_bias[10:] = 0
    rows, known = left_out(torch.arange(60))
    assert (known == HEADS[rows]).any()
    for alone in (False, True):
        scores = model.score_all(HEADS, RELATIONS) if alone else ranked(model)
        expected = rank(scores, TARGETS, rows, known)
        for found in model.competitors(HEADS, RELATIONS, TARGETS, left_out, alone):
            own = found.rows.numpy()
            assert found.better.tolist() == expected.better[own].tolist()
            assert found.tied.tolist() == expected.tied[own].tolist()
            assert (found.all + 1).tolist() == expected.candidates[own].tolist()


def left_out(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each query an entity, and where its head is even the head itself."""
    even = (HEADS[rows] % 2 == 0).nonzero().squeeze(1)
    others = (HEADS[rows] + 5 * RELATIONS[rows] + 3) % laws.ENTITIES
    return torch.cat([torch.arange(len(rows)), even]), torch.cat([others, HEADS[rows][even]])


def ranked(model: KGEModel) -> torch.Tensor:
    """The scores (b, e) that the queries are answered by."""
    scores = torch.empty(len(HEADS), model.num_entities, dtype=model.entity.dtype)
    for rows, block in model.blocks(HEADS, RELATIONS):
        scores[rows] = block
    return scores


def test_a_panel_of_teachers_with_loops_teaches_by_vectors() -> None:
    """A masked head scores -1e9, which a comparison of teachers by KL would take for all that matters."""
    model, masked = learned(SCORERS[0])
    ensemble = Ensemble([model, learned(SCORERS[1])[0]])
    candidates = torch.stack([HEADS, TARGETS], 1)
    assert masked.any() and ensemble.score(HEADS, RELATIONS, candidates).abs().max() < 1e6
    for _, scores in ensemble.blocks(HEADS, RELATIONS):
        assert scores.abs().max() < 1e6


def test_what_is_trained_has_learned_it_and_is_better_for_it() -> None:
    graph = kge_data.load("umls")
    model = mulde.train("rote", graph, dim=8, epochs=10, eval_every=10, batch_size=100, lr=0.02)
    assert not (graph.train[:, 0] == graph.train[:, 2]).any() and not model.self_loops.any()
    seen = evaluate(model, graph).metrics()["mrr"]
    model.self_loops.fill_(True)
    assert evaluate(model, graph).metrics()["mrr"] < seen - 0.02

    anything = mulde.train(
        "rote", graph, dim=8, epochs=10, eval_every=10, batch_size=100, lr=0.02, mask_self_loops=False
    )
    assert anything.self_loops.all()
    assert torch.equal(anything.entity, model.entity)
