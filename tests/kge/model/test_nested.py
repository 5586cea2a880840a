"""Crops: the first coordinates of a model, as a model of its own and during training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from kge_data.inverse import num_internal
from mulde import catalogue
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.nested import cropped, crops_of
from mulde.kge.storage.run_folder import find_scorer
from tests.kge import toys

GRAPH = toys.toy_graph()
QUERIES = torch.arange(6), torch.arange(6) % num_internal(GRAPH.num_relations)
SCORERS = [name for name, _ in catalogue.names("scorers")]


def nested_model(scorer: str, dims: tuple[int, ...] = (2, 4, 8), **changes: Any) -> KGEModel:
    config = ModelConfig(dims=dims, dtype="float64", init_scale=0.4, **changes)
    return KGEModel(find_scorer(scorer), GRAPH.num_entities, GRAPH.num_relations, config)


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_crop_is_the_smaller_model(scorer: str) -> None:
    """Where the other coordinates are zero, a model scores as its crop; contexts have a temperature by dimension."""
    model = nested_model(scorer, mask_self_loops=False)
    with torch.no_grad():
        for name, table in model.named_parameters():
            if table.dim() > 1 and name != "crop_terms":
                table[:, 4:] = 0
            if table.dim() == 3:
                table[:, :, 4:] = 0
            if name.endswith("context"):
                table.zero_()
    small = cropped(model, 4)
    assert small.config == replace(model.config, dims=(2, 4)) and small.entity.shape[1] == 4
    assert torch.allclose(small.score_all(*QUERIES), model.score_all(*QUERIES), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("scorer", SCORERS)
def test_training_crops_score_as_crops(scorer: str) -> None:
    """Also after an update, and the gradient reaches the first coordinates of the model only."""
    model = nested_model(scorer, bias="shared")
    crop = crops_of(model)[-1]
    assert not list(crop.parameters()) and not list(crop.buffers())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.01)
    crop.whole.renew()  # type: ignore[operator]
    crop.renew()
    assert torch.allclose(crop.score_all(*QUERIES), cropped(model, 2).score_all(*QUERIES), rtol=1e-12)
    crop.score_every(*QUERIES).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name == "crop_terms":
            assert parameter.grad is not None and parameter.grad.all()
        elif parameter.dim() > 1:
            assert parameter.grad is not None and parameter.grad[:, :2].any(), name
            assert not parameter.grad[:, 2:].any(), name


def test_points_of_the_ball_are_cropped() -> None:
    model = nested_model("roth", parametrization="manifold", curvature="fixed")
    assert torch.allclose(crops_of(model)[-1].score_all(*QUERIES), cropped(model, 2).score_all(*QUERIES), rtol=1e-12)


def test_mask_and_prior_of_each_size() -> None:
    model = nested_model("roth").mask_self_loops(GRAPH.train)
    rows = num_internal(GRAPH.num_relations)
    of_sizes = torch.stack([torch.full((rows,), 3.0), torch.zeros(rows)]).double()
    model.set_graph_prior(GraphPrior(torch.ones(rows).double(), GRAPH.train, of_sizes))
    assert cropped(model, 8) is model
    assert (prior := cropped(model, 2).graph_prior) is not None and prior.weights.tolist() == [3.0] * rows
    assert cropped(model, 4).graph_prior is None
    assert torch.equal(cropped(model, 4).self_loops, model.self_loops)


def test_a_crop_holds_the_smaller_sizes() -> None:
    model = nested_model("atth")
    with torch.no_grad():
        model.crop_terms.normal_(generator=torch.Generator().manual_seed(0)).mul_(0.1)
    assert torch.allclose(
        cropped(cropped(model, 4), 2).score_all(*QUERIES), cropped(model, 2).score_all(*QUERIES), rtol=1e-12
    )


def test_other_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="dim should be a size that the model was trained at: 2 or 4 or 8; got 6"):
        cropped(nested_model("rote"), 6)
    with pytest.raises(UsageError, match="trained at: 4; got 2"):  # a single size
        cropped(nested_model("rote", dims=(4,)), 2)
    with pytest.raises(UsageError, match="RotE pairs coordinates, so `dim` must be even; got 3"):
        nested_model("rote", dims=(3, 4))


def test_dims_are_sorted_and_decide_dim() -> None:
    config = ModelConfig(dims=[16, 4, 16])  # type: ignore[arg-type]
    assert config.dims == (4, 16) and config.dim == 16
    assert ModelConfig(dims=(8,)) == ModelConfig(dim=8)
