"""Sparse updates: the same gradients and the same training, with only the touched rows written."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mulde.errors import UsageError
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.kge.training import stage, supervised
from tests.kge import toys

GRAPH = toys.toy_graph()


@pytest.mark.parametrize("bias", ["separate", "shared", "none"])
def test_gradients(bias: str) -> None:
    config = ModelConfig(dim=4, dtype="float64", init_scale=0.3, bias=bias)  # type: ignore[arg-type]
    model = KGEModel(RotH, GRAPH.num_entities, GRAPH.num_relations, config)
    batch = toys.batch(GRAPH)
    hard_loss(model, batch).backward()
    dense = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.use_sparse_gradients()
    hard_loss(model, batch).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and dense[name] is not None
        of_entities = not name.startswith(("relation", "raw"))
        assert parameter.grad.is_sparse == of_entities
        assert torch.allclose(parameter.grad.to_dense(), dense[name], rtol=1e-12, atol=1e-15)
    touched = set(model.entity.grad.coalesce().indices()[0].tolist())  # type: ignore[union-attr]
    assert touched == {*batch.heads.tolist(), *batch.tails.tolist(), *batch.negatives.flatten().tolist()}


def config(**changes: Any) -> supervised.Config:
    return toys.options(supervised.Config, dim=4, **changes)


def test_training_is_the_same() -> None:
    small = {"epochs": 3, "batch_size": 7, "negatives": 2, "optimizer": "adagrad", "lr": 0.1, "eval_every": 10}
    shape = {"dtype": "float64", "init_scale": 0.3}
    dense, sparse = (
        stage.train("roth", GRAPH, config(**small, **shape, sparse=sparse), None, bar=False).model
        for sparse in (False, True)
    )
    for name, expected in dense.state_dict().items():
        assert torch.allclose(sparse.state_dict()[name], expected, rtol=1e-9, atol=1e-12), name


def test_other_optimizers_are_refused() -> None:
    with pytest.raises(UsageError, match="sparse updates need the optimizer adagrad and tangent entities; got adam"):
        stage.train("roth", GRAPH, config(sparse=True), None)


def test_a_loss_over_all_entities_is_refused() -> None:
    with pytest.raises(UsageError, match="sparse updates need a loss with corruptions; got one over all entities"):
        stage.train("rote", GRAPH, config(sparse=True, optimizer="adagrad", loss="1vsall"), None)
