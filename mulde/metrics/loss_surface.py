"""The loss on a plane through trained weights, spanned by two filter-normalised random directions (Li et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mulde.errors import UsageError
from mulde.metrics.flatness import Loss, filter_normalised_direction, moved


def loss_surface(
    loss: Loss, parameters: Sequence[nn.Parameter], steps: int = 11, extent: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The loss at w + x d₁ + y d₂.

    Every filter of a direction has the norm of the filter of the weights; biases and normalisations stay as they are.
    The weights are as before afterwards.

    Parameters
    ----------
    loss
        The scalar loss at the present weights, in eval mode and on fixed examples.
    steps
        Points in each direction, an odd number, so that the weights themselves are the middle one.
    extent
        Largest x and y.
    seed
        Seed of the directions.

    Returns
    -------
    coordinates
        (steps,) from -extent to extent.
    losses
        (steps, steps), at [i, j] for x = coordinates[i] and y = coordinates[j].

    Raises
    ------
    UsageError
        For an even number of steps.
    """
    if steps % 2 == 0:
        raise UsageError(f"a loss surface has an odd number of steps, so that its middle is the weights; got {steps}")
    generator = torch.Generator().manual_seed(seed)
    first, second = (filter_normalised_direction(parameters, generator) for _ in range(2))
    coordinates, losses = np.linspace(-extent, extent, steps), np.empty((steps, steps))
    with torch.no_grad():
        for i, x in enumerate(coordinates):
            for j, y in enumerate(coordinates):
                direction = [float(x) * a + float(y) * b for a, b in zip(first, second, strict=True)]
                with moved(parameters, direction, 1.0):
                    losses[i, j] = float(loss())
    return coordinates, losses
