"""Options of mechanisms that work with every method."""

from __future__ import annotations

import pytest

from mulde.additions import Additions
from mulde.engine import Clock, LossDrivenRate, ScheduledNumbers, SharpnessAware, WeightAverage
from mulde.errors import UsageError


def test_none_is_the_default() -> None:
    made = Additions().for_trainer()
    assert not made.pop("callbacks") and made.pop("accumulate") == 1 and not any(made.values())


def test_each_option_reaches_the_trainer() -> None:
    made = Additions(
        average="ema", average_every=2, average_begin=0.25, average_momentum=0.9, loss_driven_factor=0.5,
        cycle=("optimizer.weight_decay=1e-5:1e-3", "max_grad_norm=2:0.5:4"), sharpness_radius=0.1, accumulate=3,
        max_grad_norm=4.0, max_grad_value=0.5,
    ).for_trainer()  # fmt: skip
    average, rate, numbers = made["callbacks"]
    assert average == WeightAverage("ema", 2, 0.25, 0.9) and rate == LossDrivenRate(0.5)
    assert isinstance(numbers, ScheduledNumbers)
    middle = Clock(0, 0, None, 0.25)
    values = {name: schedule(middle) for name, schedule in numbers.numbers.items()}
    assert values == {"optimizer.weight_decay": pytest.approx(5.05e-4), "max_grad_norm": 0.5}
    (numbers,) = Additions(cycle=("method.temperature=1:4", "optimizer.lr=0.1:1")).for_trainer(False)["callbacks"]
    assert list(numbers.numbers) == ["optimizer.lr"]
    assert made["rule"] == SharpnessAware(0.1)
    assert (made["accumulate"], made["max_grad_norm"], made["max_grad_value"]) == (3, 4.0, 0.5)


@pytest.mark.parametrize("text", ["weight_decay", "lr=1", "lr=a:b", "lr=1:2:3:4"])
def test_a_cycle_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--cycle is NAME=ENDS:PEAK or NAME=ENDS:PEAK:FACTOR, for example"):
        Additions(cycle=(text,)).for_trainer()
