"""Frozen modules."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mulde.engine import frozen, frozen_modules
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
