"""The learning rate of a training that a time budget ends early."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from mulde.engine import Clock
from mulde.engine.provenance import settings
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training
from mulde.kge.training.optimizers import BudgetOptimizer, expected_fraction, optimizer_of


@pytest.mark.parametrize(
    ("clock", "fraction"),
    [
        (Clock(0, 0, 100, 0.0), 1.0),
        (Clock(500, 5, 100, 0.05), 1.0),
        (Clock(500, 5, 100, 0.05 + 1e-12), 1.0),  # rounded otherwise
        (Clock(550, 5, 100, 0.1, epoch_progress=0.5), 0.155 / 0.2),
        (Clock(2000, 20, 100, 1.0), 0.3 / 1.1),
        (Clock(2000, 20, None, 1.0), 1.0),  # limited by steps
    ],
)
def test_expected_fraction_of_the_planned_epochs(clock: Clock, fraction: float) -> None:
    assert expected_fraction(clock) == pytest.approx(fraction)
    assert fraction < 1 or expected_fraction(clock) == 1


@pytest.mark.parametrize("name", get_args(get_type_hints(Training)["optimizer"]))
def test_settings_name_the_optimizer_that_runs(name: str) -> None:
    """What is written to config.json, for entities on the manifold and others."""
    for parametrization in ("manifold", "tangent") if name == "riemannian-adam" else ("tangent",):
        model = ModelConfig(parametrization=parametrization, curvature="fixed")
        spec = optimizer_of(Training(optimizer=name), model, 0.1, all_entities=False)
        assert settings(spec)["optimizer"] == name
        made = spec([nn.Parameter(torch.ones(2))])
        assert type(made).__name__.lower() == name.replace("-", "")


@pytest.mark.parametrize(("largest", "expected"), [(1.0, 0.5 * 2.0), (1.5e-2, 0.5 * 1.5), (1e-3, 0.5)])
def test_the_rate_is_larger_if_time_is_short(largest: float, expected: float) -> None:
    """Half of the time is used after a twentieth of the epochs; a bound below the rate itself changes nothing."""
    spec = BudgetOptimizer(lr=1e-2, schedule="linear", scale_to_budget=True, largest_lr=largest)
    assert spec.rate(Clock(50, 5, 100, 0.5)) == pytest.approx(expected)
    assert spec.rate(Clock(50, 50, 100, 0.5)) == 0.5
    assert BudgetOptimizer(lr=1e-2, schedule="linear").rate(Clock(50, 5, 100, 0.5)) == 0.5
