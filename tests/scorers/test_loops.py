"""A relation without loops in train does not answer with the entity asked about: in every form of a score alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import kge_data
import mulde
from mulde.kge.link_prediction import evaluate
from mulde.metrics.ranks import rank
from mulde.scorers.model import KGEModel
from mulde.scorers.scorer import Scorer
from mulde.scorers.tails import BARRED
from tests.contracts import scorer as laws
from tests.scorers.test_scorer_contract import SCORERS

HEADS, RELATIONS, TARGETS = laws.queries(60)
TARGETS = torch.where(torch.arange(60) % 3 == 0, HEADS, TARGETS)  # loops among what is asked
LOOP = 1  # the only relation of the user's that has one


def learned(scorer: type[Scorer]) -> tuple[KGEModel, torch.Tensor]:
    """A model that has seen a single loop, and which queries bar their own head."""
    model = laws.model_of(scorer, next(iter(laws.configurations(scorer))))
    return model.learn_loops(np.array([[0, 0, 1], [2, LOOP, 2]])).eval(), RELATIONS // 2 != LOOP


@pytest.mark.parametrize("scorer", SCORERS)
def test_all_forms_agree(scorer: type[Scorer]) -> None:
    model, barred = learned(scorer)
    assert 0 < barred.sum() < len(barred)
    every, own = model.score_all(HEADS, RELATIONS), HEADS.unsqueeze(1)
    assert ((every.gather(1, own) == BARRED).squeeze(1) == barred).all() and (every == BARRED).sum() == barred.sum()
    ids = torch.cat([own, TARGETS.unsqueeze(1)], 1)
    with torch.no_grad():
        torch.testing.assert_close(model.score(HEADS, RELATIONS, ids), every.gather(1, ids))
    best = model.top(HEADS, RELATIONS, laws.ENTITIES - 1)
    assert ((best == own).any(1) <= ~barred).all()

    none = torch.empty(0, dtype=torch.int64)
    expected = rank(every, TARGETS, none, none)
    for found in model.competitors(HEADS, RELATIONS, TARGETS, lambda _: (none, none)):
        rows = found.rows.numpy()
        assert found.better.tolist() == expected.better[rows].tolist()
        assert found.tied.tolist() == expected.tied[rows].tolist()
        assert (found.all + 1).tolist() == expected.candidates[rows].tolist()


def test_training_knows_nothing_of_it() -> None:
    model, _ = learned(SCORERS[0])
    before = laws.model_of(SCORERS[0], next(iter(laws.configurations(SCORERS[0])))).train()
    assert torch.equal(model.train().score_all(HEADS, RELATIONS), before.score_all(HEADS, RELATIONS))


def test_what_is_trained_has_learned_it_and_is_better_for_it() -> None:
    graph = kge_data.load("umls")
    model = mulde.train("rote", graph, dim=8, epochs=10, every=10, batch_size=100, lr=0.02)
    assert not (graph.train[:, 0] == graph.train[:, 2]).any() and not model.loops.any()
    seen = evaluate(model, graph).metrics()["mrr"]
    model.loops.fill_(True)
    assert evaluate(model, graph).metrics()["mrr"] < seen - 0.02

    anything = mulde.train("rote", graph, dim=8, epochs=10, every=10, batch_size=100, lr=0.02, loops="any")
    assert anything.loops.all()
    assert torch.equal(anything.entity, model.entity)
