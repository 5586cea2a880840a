"""Loss surfaces: values on the plane of the two directions, and weights that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mulde.errors import UsageError
from mulde.metrics.flatness import filter_normalised_direction
from mulde.metrics.loss_surface import loss_surface
from tests.losses.restated import drawn


def test_the_surface_of_a_quadratic() -> None:
    parameters = [nn.Parameter(drawn(2, 3, seed=1)), nn.Parameter(drawn(2, seed=2))]
    before = [parameter.detach().clone() for parameter in parameters]
    curvature = drawn(2, 3, seed=3).square()

    def loss() -> Tensor:
        return (curvature * parameters[0].square()).sum() + parameters[1].square().sum()

    coordinates, losses = loss_surface(loss, parameters, steps=5, extent=0.5, seed=7)
    np.testing.assert_allclose(coordinates, [-0.5, -0.25, 0, 0.25, 0.5])
    generator = torch.Generator().manual_seed(7)
    first, second = (filter_normalised_direction(parameters, generator)[0] for _ in range(2))
    for i, x in enumerate(coordinates):
        for j, y in enumerate(coordinates):
            w = before[0] + x * first + y * second  # the vector of two numbers stays as it is
            expected = (curvature * w.square()).sum() + before[1].square().sum()
            assert losses[i, j] == pytest.approx(float(expected), abs=1e-9)
    assert all(map(torch.equal, before, (parameter.detach() for parameter in parameters)))


def test_an_even_number_of_steps_is_refused() -> None:
    with pytest.raises(UsageError, match="a loss surface has an odd number of steps"):
        loss_surface(lambda: torch.zeros(()), [], steps=4)
