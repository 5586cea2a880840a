"""Learners and their optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mulde.engine import OptimizerSpec, Trainer
from mulde.engine.learning import learners_of
from tests.engine.toys import Peers, ShuffledFeed


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
