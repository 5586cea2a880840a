"""Entities in the disk: positions and colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mulde.geometry.poincare import expmap0
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.rote import RotE
from mulde.kge.scorers.roth import RotH
from mulde.report.disk import cut_at, project
from tests.kge import toys


def test_in_two_dimensions_the_disk_is_the_ball_itself() -> None:
    """Distances to the origin are those of the model's own exponential map, times √c."""
    model = toys.model(toys.toy_graph(), RotH, dim=2)
    cast = project(model)
    assert cast.kept == pytest.approx(1)
    c = torch.tensor(cast.curvature, dtype=torch.float64)
    expected = expmap0(model.entity.detach(), c).norm(dim=1) * c.sqrt()
    np.testing.assert_allclose(np.linalg.norm(cast.points, axis=1), expected.numpy(), rtol=1e-9)


def test_the_plane_keeps_what_lies_in_it() -> None:
    model = toys.model(toys.toy_graph(), RotH, dim=6)
    with torch.no_grad():
        model.entity[:, 2:] = 0
    assert project(model).kept == pytest.approx(1)
    with torch.no_grad():
        model.entity[:, 2:] = torch.randn(model.entity[:, 2:].shape, generator=torch.Generator().manual_seed(0)) * 3
    assert 0.2 < project(model).kept < 0.9


def test_drawings_stop_at_a_tenth_of_the_radius_beyond_all_points() -> None:
    near, far = np.array([[0.0, 0.0], [0.12, 0.15]]), np.array([[0.3, 0.4], [0.0, -0.51]])
    assert cut_at([near]) == 0.2 and cut_at([near, far]) == 0.6
    assert cut_at([np.zeros((3, 2))]) == 0.1 and cut_at([np.array([[0.0, 1.0]]), near]) == 1.0


@pytest.mark.parametrize("config", [ModelConfig(dim=4, init_scale=9.0), ModelConfig(dim=4, init_scale=0.0)])
def test_points_stay_inside(config: ModelConfig) -> None:
    for scorer in (RotH, RotE):
        points = project(KGEModel(scorer, 30, 2, config)).points
        assert np.isfinite(points).all() and (np.linalg.norm(points, axis=1) <= 1).all()
