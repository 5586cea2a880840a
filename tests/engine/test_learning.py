"""Optimisers and their learning rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mulde.engine import Clock, OptimizerSpec, Trainer
from mulde.engine.learning import learners_of
from tests.engine.toys import Peers, ShuffledFeed


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
    ],
)
def test_every_name_makes_its_optimiser(spec: OptimizerSpec, expected: type, fused: bool) -> None:
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


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match='no optimiser called "adm"; choose adam, adamw, adagrad, sgd, radam or lars'):
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


def test_the_trainer_applies_the_schedule_to_each_learner() -> None:
    rates: list[tuple[float, float]] = []
    made: list[torch.optim.Optimizer] = []

    class Noting(OptimizerSpec):
        def __call__(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
            made.append(super().__call__(parameters))
            return made[-1]

    method = Peers()
    method.after_update = lambda clock: rates.append(  # type: ignore[method-assign]
        (made[0].param_groups[0]["lr"], made[1].param_groups[0]["lr"])
    )
    optimizers = {"a": Noting(lr=0.4, schedule="linear"), "b": Noting("sgd", lr=0.1)}
    Trainer(optimizers=optimizers).fit(method, ShuffledFeed(), epochs=1)
    assert rates == [(pytest.approx(rate), 0.1) for rate in (0.4, 0.3, 0.2, 0.1)]


def test_any_factory_will_do() -> None:
    method = Peers()
    learners = learners_of(method, lambda parameters: torch.optim.Rprop(parameters), None)
    assert {type(learner.optimizer) for learner in learners.values()} == {torch.optim.Rprop}
    assert all(learner.rate is None for learner in learners.values())
