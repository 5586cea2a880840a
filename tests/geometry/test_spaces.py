"""Spaces: a similarity and its inverse, their directions, in-place forms, and tables of points."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from mulde.geometry import poincare
from mulde.geometry.spaces import Bilinear, Euclidean, Lorentz, PoincareBall, Space

SPACES: list[Space] = [PoincareBall(), PoincareBall(0.9), Lorentz(), Lorentz(0.9), Euclidean(), Bilinear()]
CURVATURE = torch.tensor(1.7, dtype=torch.float64)
Z = torch.linspace(0.01, 1.0, 50, dtype=torch.float64)  # below the cap, which is at 2.5


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_reach_is_the_inverse(space: Space) -> None:
    assert_close(space.reach(space.similarity(Z, CURVATURE), CURVATURE), Z)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_direction(space: Space) -> None:
    rises = space.similarity(Z, CURVATURE).diff() > 0
    assert rises.all() if space.increasing else not rises.any()


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_in_place_forms(space: Space) -> None:
    z = torch.linspace(0.01, 9.0, 50, dtype=torch.float64)
    expected = space.similarity(z, CURVATURE)
    for found in (
        space.similarity_(z.clone(), CURVATURE, torch.empty_like(z)),
        space.similarity_slope_(z.clone(), CURVATURE)[0],
    ):
        assert_close(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [PoincareBall, Lorentz])
def test_every_z_reaches_a_similarity_beyond_the_cap(kind: type[PoincareBall]) -> None:
    far = torch.tensor([9.0], dtype=torch.float64)
    assert kind(0.9).reach(kind().similarity(far, CURVATURE), CURVATURE).item() == torch.inf


def test_the_lorentzian_distance_is_that_of_the_geodesic_one() -> None:
    """4 sinh²(√c d/2)/c."""
    d = (-PoincareBall().similarity(Z, CURVATURE)).sqrt()
    assert_close(-Lorentz().similarity(Z, CURVATURE), 4 * (CURVATURE.sqrt() * d / 2).sinh().square() / CURVATURE)


def test_points_of_the_ball_are_the_images_of_their_tangents() -> None:
    tangents = 0.3 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = poincare.expmap0(tangents, CURVATURE)
    stored = PoincareBall(manifold=True)
    assert_close(stored.tangents(points, CURVATURE), tangents)
    assert PoincareBall().tangents(tangents, CURVATURE) is tangents and Euclidean().tangents(tangents) is tangents
    (first, other), (radial, stretch) = (
        PoincareBall().tail_terms(tangents.square().sum(-1), CURVATURE),
        stored.tail_terms(points.square().sum(-1), CURVATURE),
    )
    assert_close(radial, first)
    assert_close(stretch.unsqueeze(-1) * points, other.unsqueeze(-1) * tangents)
