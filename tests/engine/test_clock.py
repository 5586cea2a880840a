"""Schedules, with the numbers of the papers that use them."""

from __future__ import annotations

import math

import pytest

from mulde.engine import Clock, as_schedule, constant, cosine, exponential, linear, step_decay


def at(epoch: int, epochs: int | None = 10, progress: float | None = None, epoch_progress: float = 0.0) -> Clock:
    fraction = epoch / epochs if progress is None and epochs else progress or 0.0
    return Clock(step=0, epoch=epoch, epochs=epochs, progress=fraction, epoch_progress=epoch_progress)


def test_linear() -> None:
    over_all, over_five = linear(1.0, 3.0), linear(1.0, 3.0, epochs=5)
    assert [over_all(at(epoch)) for epoch in (0, 5, 10)] == [1.0, 2.0, 3.0]
    assert [over_five(at(epoch)) for epoch in (0, 2, 5, 9)] == pytest.approx([1.0, 1.8, 3.0, 3.0])
    assert over_five(at(0, epoch_progress=0.5)) == pytest.approx(1.2)  # half of the first epoch


def test_linear_by_whole_epochs() -> None:
    schedule = linear(0.0, 1.0, epochs=20, whole_epochs=True)  # min(epoch / 20, 1), epochs from 1
    assert [schedule(at(epoch, 240, 0.5)) for epoch in (0, 9, 19, 100)] == [0.05, 0.5, 1.0, 1.0]


def test_cosine() -> None:
    schedule = cosine(2.0, 0.0)
    assert [schedule(at(0, progress=fraction)) for fraction in (0.0, 0.5, 1.0)] == pytest.approx([2.0, 1.0, 0.0])


def test_exponential_schedule_over_five_epochs() -> None:
    schedule = exponential(0.0, 1.0, epochs=5, whole_epochs=True)
    expected = [math.exp(power) for power in (-3.2, -1.8, -0.8, -0.2, 0, 0)]
    assert [schedule(at(epoch)) for epoch in range(6)] == pytest.approx(expected)


def test_step_decay() -> None:
    schedule = step_decay(1.0, math.e, every=5, limit=1e6)
    assert [schedule(at(epoch, 9000)) for epoch in (0, 4, 5, 14, 24, 8000)] == pytest.approx(
        [1.0, 1.0, 2.71828, 7.38906, 54.59815, 1e6]
    )
    assert step_decay(0.5, 0.1, every=30)(at(60, 90)) == pytest.approx(0.005)


def test_numbers_are_schedules() -> None:
    assert as_schedule(0.3)(at(4)) == constant(0.3)(at(7)) == 0.3
    schedule = linear(0, 1)
    assert as_schedule(schedule) is schedule


@pytest.mark.parametrize(
    "schedule", [linear(0, 1, epochs=3), exponential(0, 1, whole_epochs=True), step_decay(1, 2, 3)]
)
def test_schedules_over_epochs_refuse_a_training_without(schedule: object) -> None:
    with pytest.raises(ValueError, match="counts epochs, but the training is limited by steps; give fit"):
        schedule(at(0, epochs=None))  # type: ignore[operator]
    assert linear(0, 1)(at(0, epochs=None, progress=0.5)) == 0.5
    for whole_epochs in (False, True):  # nothing is counted
        assert linear(0, 1, epochs=0, whole_epochs=whole_epochs)(at(0, epochs=None)) == 1.0
