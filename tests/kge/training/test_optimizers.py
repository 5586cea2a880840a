"""The learning rate of a training that a time budget ends early."""

from __future__ import annotations

import pytest

from mulde.engine import Clock
from mulde.kge.training.optimizers import BudgetOptimizer, expected_fraction


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


@pytest.mark.parametrize(("largest", "expected"), [(1.0, 0.5 * 2.0), (1.5e-2, 0.5 * 1.5), (1e-3, 0.5)])
def test_the_rate_is_larger_if_time_is_short(largest: float, expected: float) -> None:
    """Half of the time is used after a twentieth of the epochs; a bound below the rate itself changes nothing."""
    spec = BudgetOptimizer(lr=1e-2, schedule="linear", scale_to_budget=True, largest_lr=largest)
    assert spec.rate(Clock(50, 5, 100, 0.5)) == pytest.approx(expected)
    assert spec.rate(Clock(50, 50, 100, 0.5)) == 0.5
    assert BudgetOptimizer(lr=1e-2, schedule="linear").rate(Clock(50, 5, 100, 0.5)) == 0.5
