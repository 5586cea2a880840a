"""The restatement of KGEmb in the benchmarks has our loss, gradients and ranks."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

import kge_data
from benchmarks.harness import kgemb
from kge_data.inverse import with_reciprocals
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from tests.kge import toys


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 2e-4)])
def test_loss_gradients_and_ranks_are_ours(dtype: str, tolerance: float) -> None:
    graph = kge_data.load("nations")
    config = ModelConfig(dim=8, init_scale=0.3, dtype=dtype)  # type: ignore[arg-type]
    model = KGEModel(RotH, graph.num_entities, graph.num_relations, config, seed=1)
    theirs, batch = kgemb.RotH(model), toys.batch(graph, 40)
    triples = torch.stack([batch.heads, batch.relations, batch.tails], 1)

    found, expected = theirs.loss(triples, kgemb.corrupt(triples, batch.negatives)), hard_loss(model, batch)
    assert_close(found, expected, rtol=tolerance, atol=0)
    found.backward()
    expected.backward()
    relation = model.relation
    pairs = {
        theirs.entity: model.entity, theirs.rotation: relation["rotation"], theirs.curvature: model.raw_curvature,
        theirs.head_bias: model.head_bias, theirs.tail_bias: model.tail_bias,
    }  # fmt: skip
    for theirs_table, ours in pairs.items():
        assert ours.grad is not None
        assert_close(theirs_table.weight.grad.view_as(ours), ours.grad, rtol=tolerance, atol=tolerance * 1e-2)

    if dtype == "float64":
        triples = torch.from_numpy(with_reciprocals(graph.test))
        ranks = evaluate(model, graph).ranks
        assert theirs.ranks(triples, known_answers(graph)).tolist() == ranks.ranks("pessimistic").tolist()
