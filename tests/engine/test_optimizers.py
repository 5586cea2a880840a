"""Optimizers and their learning rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mulde.engine import Clock, OptimizerSpec
from mulde.engine.optimizers import LARS


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones((), dtype=torch.float64))]


@pytest.mark.parametrize(
    ("spec", "expected", "fused"),
    [
        (OptimizerSpec("adam", betas=(0.5, 0.9)), torch.optim.Adam, True),
        (OptimizerSpec("adamw", weight_decay=0.1), torch.optim.AdamW, True),
        (OptimizerSpec("adagrad"), torch.optim.Adagrad, True),
        (OptimizerSpec("sgd", momentum=0.9, nesterov=True), torch.optim.SGD, True),
        (OptimizerSpec("radam"), torch.optim.RAdam, False),
        (OptimizerSpec("lars", momentum=0.9), LARS, False),
    ],
)
def test_every_name_makes_its_optimizer(spec: OptimizerSpec, expected: type, fused: bool) -> None:
    optimizer = spec(parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer) is expected
    assert bool(group.get("fused")) == fused
    assert (group["lr"], group["weight_decay"]) == (1e-3, spec.weight_decay)
    assert group.get("betas", spec.betas) == spec.betas
    assert group.get("momentum", spec.momentum) == spec.momentum
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all((parameter < 1).all() for parameter in group["params"])


def test_lars_does_not_adapt_a_matrix_that_begins_at_zero() -> None:
    """Then and later its steps are those of SGD; the length of an adapted one grows by a fraction of itself only."""
    zero, other = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.eye(2))
    optimizer = LARS([zero, other], lr=0.5, momentum=0.5, weight_decay=0.1)
    position, velocity = torch.zeros(2, 2), torch.zeros(2, 2)
    for step in range(20):
        gradient = torch.tensor([[1.0, -2.0], [0.5, step]])
        zero.grad, other.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        velocity = 0.5 * velocity + 0.5 * (gradient + 0.1 * position)
        position = position - velocity
        if step == 10:  # as in a fit that is continued
            state = optimizer.state_dict()
            optimizer = LARS([zero, other], lr=0.5, momentum=0.5, weight_decay=0.1)
            optimizer.load_state_dict(state)
    torch.testing.assert_close(zero.data, position)
    assert (other - torch.eye(2)).norm() < 0.1


def test_lars_by_hand() -> None:
    """The step of a matrix is proportional to its norm, not its gradient's; a vector moves as in SGD, without decay."""
    matrix, vector = nn.Parameter(torch.tensor([[3.0, 4.0]])), nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = LARS([matrix, vector], lr=2.0, momentum=0.5, weight_decay=0.1, trust=0.01)
    positions = [torch.tensor([3.0, 4.0], dtype=torch.float64)] * 2
    velocities = [torch.zeros(2, dtype=torch.float64)] * 2
    gradient = torch.tensor([1.0, -2.0], dtype=torch.float64)
    for _ in range(3):
        matrix.grad, vector.grad = gradient.float()[None], gradient.float()
        optimizer.step()
        decayed = gradient + 0.1 * positions[0]
        scaled = 0.01 * positions[0].norm() / decayed.norm() * decayed
        velocities = [0.5 * v + 2 * change for v, change in zip(velocities, (scaled, gradient), strict=True)]
        positions = [x - v for x, v in zip(positions, velocities, strict=True)]
    torch.testing.assert_close(matrix[0].double(), positions[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(vector.double(), positions[1], rtol=1e-5, atol=1e-6)


def test_lars_moves_what_is_zero() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.ones(2, 2)
    LARS([weight], lr=0.1).step()
    assert torch.equal(weight.detach(), torch.full((2, 2), -0.1))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match='no optimizer called "adm"; choose adam, adamw, adagrad, sgd, radam or lars'):
        OptimizerSpec("adm")(parameters())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='no schedule called "up"; choose constant, linear, cosine or step'):
        OptimizerSpec(schedule="up").rate(Clock(0, 0, 1, 0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0, 1.0, 1.0, 1.0]),
        ({"schedule": "linear", "final_fraction": 0.2}, [1.0, 0.8, 0.6, 0.4]),
        ({"schedule": "cosine"}, [1.0, 0.853553, 0.5, 0.146447]),
        ({"schedule": "step", "step_epochs": 2, "step_factor": 0.5}, [1.0, 1.0, 0.5, 0.5]),
        ({"warmup_epochs": 2}, [0.0, 0.5, 1.0, 1.0]),
        ({"warmup_epochs": 2, "schedule": "linear"}, [0.0, 0.375, 0.5, 0.25]),
    ],
)
def test_schedules(options: dict[str, Any], expected: list[float]) -> None:
    spec = OptimizerSpec(**options)
    clocks = [Clock(epoch * 10, epoch, 4, epoch / 4) for epoch in range(4)]
    assert [spec.rate(clock) for clock in clocks] == pytest.approx(expected, abs=1e-6)
