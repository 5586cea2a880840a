"""Moving averages of networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mulde.engine import average_of, frozen, update_average
from mulde.errors import UsageError


def test_average_follows() -> None:
    network = nn.BatchNorm1d(2)
    average = average_of(network)
    average.train()
    assert not average.training
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(10.0)
        network.num_batches_tracked.fill_(5)
    update_average(average, network, momentum=0.9)
    assert torch.allclose(average.weight, torch.full((2,), 0.9 * 1 + 0.1 * 3))
    assert torch.allclose(average.running_mean, torch.ones(2))
    assert average.num_batches_tracked == 5
    assert network.weight.requires_grad
    assert network.training


def test_bad_averages_are_refused() -> None:
    network = nn.Linear(2, 1)
    with pytest.raises(UsageError, match="not saved in checkpoints; make the average with average_of"):
        update_average(frozen(copy.deepcopy(network)), network, 0.9)
    with pytest.raises(UsageError, match="a fraction between 0 and 1; got 9"):
        update_average(average_of(network), network, 9)
    with pytest.raises(UsageError, match=r"differ in \['bias'\]"):
        update_average(average_of(network), nn.Linear(2, 1, bias=False), 0.9)
