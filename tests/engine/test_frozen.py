"""Modules that never train."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mulde.engine import average_of, frozen, frozen_modules, update_average
from mulde.engine.checkpoint import weights_of
from tests.engine.toys import Follower


def test_frozen_stays_in_eval_and_untrainable() -> None:
    method = Follower()
    method.train()
    assert method.student.training
    assert not method.guide.training
    assert not method.guide.train(True).training
    assert not any(parameter.requires_grad for parameter in method.guide.parameters())


def test_frozen_is_the_same_module_and_passes_gradients_through() -> None:
    network = nn.Linear(2, 1)
    assert frozen(network) is network
    inputs = torch.ones(1, 2, requires_grad=True)
    network(inputs).sum().backward()
    assert torch.equal(inputs.grad, network.weight)
    assert network.weight.grad is None


def test_a_copy_of_a_frozen_module_is_frozen_by_itself() -> None:
    original = frozen(nn.Sequential(nn.Dropout(), nn.Linear(2, 1)))
    twin = copy.deepcopy(original)
    assert twin.train() is twin
    assert not twin.training
    assert not twin[0].training


def test_frozen_is_left_out_of_weights_but_an_average_is_not() -> None:
    keys = weights_of(Follower()).keys()
    assert keys == {"student.weight", "student.bias", "average.weight", "average.bias"}
    nested = frozen(nn.Sequential(frozen(nn.Linear(2, 1))))
    assert [name for name, _ in frozen_modules(nn.ModuleDict({"outer": nested}))] == ["outer"]


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
    with pytest.raises(ValueError, match="not saved in checkpoints; make the average with average_of"):
        update_average(frozen(copy.deepcopy(network)), network, 0.9)
    with pytest.raises(ValueError, match="a fraction between 0 and 1; got 9"):
        update_average(average_of(network), network, 9)
    with pytest.raises(ValueError, match=r"differ in \['bias'\]"):
        update_average(average_of(network), nn.Linear(2, 1, bias=False), 0.9)
