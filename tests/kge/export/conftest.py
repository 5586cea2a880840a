"""A model of a small graph that the tests of all export formats share."""

from __future__ import annotations

import json

import pytest
import torch

from mulde.kge.export.bundle import Original
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.kge.storage.run_folder import model_files
from tests.kge import toys


def spread(model: KGEModel) -> KGEModel:
    """The model with biases and curvatures that differ."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name or "curvature" in name:
                parameter += 0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return model.eval()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    graph = toys.toy_graph()
    config = ModelConfig(dim=6, init_scale=0.2)
    model = spread(KGEModel(RotH, graph.num_entities, graph.num_relations, config, seed=3))
    description = json.loads(model_files(model, graph, "toy")["model.json"])
    return Original(tmp_path_factory.mktemp("run"), model, graph, description)
