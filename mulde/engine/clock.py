"""The clock of a training, and schedules: scalars that change over a training.

A `Clock` is passed to every call of a method, so that a weight, a temperature or a learning rate can be a function of
time. A schedule is such a function: `weight = linear(0.0, 1.0, epochs=20)`, later `weight(clock)`. Schedules have no
state, so a resumed training continues them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mulde.errors import UsageError


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment of an update or an evaluation."""

    step: int
    """Updates done before this moment: 0 in the first update."""
    epoch: int
    """Passes over the feed completed: 0 during the first pass, 1 in the evaluation after it."""
    epochs: int | None
    """Planned passes; None if the training is limited by `steps=`."""
    progress: float
    """Fraction of the training that is done, or of its time budget if that is larger, in [0, 1].

    If the feed has no length it changes once per epoch.
    """
    epoch_progress: float = 0.0
    """Fraction of the current pass that is done, in [0, 1); 0 if the feed has no length."""


Schedule = Callable[[Clock], float]


def constant(value: float) -> Schedule:
    """The same value at every moment."""
    return _described(lambda clock: value, f"constant({value})")


def as_schedule(value: float | Schedule) -> Schedule:
    """A schedule as it is, a number as a constant schedule."""
    return value if callable(value) else constant(value)


def linear(start: float, end: float, epochs: float | None = None, whole_epochs: bool = False) -> Schedule:
    """A straight line from `start` to `end`, then `end`.

    Parameters
    ----------
    start, end
        First and last value.
    epochs
        Duration; None: the whole training.
    whole_epochs
        Change once per epoch. Epochs are counted from 1: during epoch i the fraction i / epochs has passed.
    """
    return _described(
        lambda clock: start + (end - start) * _fraction(clock, epochs, whole_epochs),
        f"linear({start}, {end}, {epochs}, {whole_epochs})",
    )


def cosine(start: float, end: float, epochs: float | None = None, whole_epochs: bool = False) -> Schedule:
    """Half a cosine from `start` to `end` (Loshchilov and Hutter 2017). Parameters as for `linear`."""
    return _described(
        lambda clock: end + (start - end) * (1 + math.cos(math.pi * _fraction(clock, epochs, whole_epochs))) / 2,
        f"cosine({start}, {end}, {epochs}, {whole_epochs})",
    )


def exponential(start: float, end: float, epochs: float | None = None, whole_epochs: bool = False) -> Schedule:
    """From near `start` to `end` along exp(-5 (1 - x)²) (Laine and Aila 2017). Parameters as for `linear`.

    x is the fraction of the duration that has passed.
    """
    return _described(
        lambda clock: start + (end - start) * math.exp(-5 * (1 - _fraction(clock, epochs, whole_epochs)) ** 2),
        f"exponential({start}, {end}, {epochs}, {whole_epochs})",
    )


def cyclical(low: float, high: float, factor: float = 2.0, whole_epochs: bool = False) -> Schedule:
    """From `low` to `high` and back to `low`, both along straight lines (Smith 2022, general cyclical training).

    The code of that paper overshoots `high` by one epoch where the peak falls between two epochs; this does not.

    Parameters
    ----------
    low, high
        Value at both ends and at the peak. `low` may be above `high`.
    factor
        The peak is after 1 / factor of the training; 2: in the middle, 1: at the end.
    whole_epochs
        Change once per epoch: `low` in the first and in the last one. Otherwise the value changes with every update.
    """
    if factor < 1:
        raise UsageError(
            f"the factor of a cycle is at least 1, its peak after 1 / factor of the training; got {factor}"
        )

    def value(clock: Clock) -> float:
        passed = factor * (clock.epoch / max(1, _planned_epochs(clock) - 1) if whole_epochs else clock.progress)
        distance = 1 - passed if passed <= 1 else (passed - 1) / (factor - 1)
        return high + (low - high) * distance

    return _described(value, f"cyclical({low}, {high}, {factor}, {whole_epochs})")


def step_decay(start: float, factor: float, every: int, limit: float = math.inf) -> Schedule:
    """`start`, multiplied by `factor` after every `every` epochs.

    Parameters
    ----------
    start
        First value.
    factor
        Below 1 the value falls, above 1 it grows.
    every
        Epochs between two changes.
    limit
        Upper bound.
    """

    def value(clock: Clock) -> float:
        _planned_epochs(clock)
        changes = clock.epoch // every
        if factor > 1 and changes * math.log(factor) > 700:  # the power would overflow
            return limit
        return min(start * factor**changes, limit)

    return _described(value, f"step_decay({start}, {factor}, {every}, {limit})")


def _described(schedule: Schedule, text: str) -> Schedule:
    """The schedule with its arguments as its name, which is compared when a fit is continued."""
    schedule.__qualname__ = text
    return schedule


def _fraction(clock: Clock, epochs: float | None, whole_epochs: bool) -> float:
    """Fraction in [0, 1] of a schedule's duration that has passed."""
    if epochs is None and not whole_epochs:
        return clock.progress
    if epochs is not None and epochs <= 0:
        return 1.0
    planned = _planned_epochs(clock)
    passed = clock.epoch + (1 if whole_epochs else clock.epoch_progress)
    return min(1.0, passed / (planned if epochs is None else epochs))


def _planned_epochs(clock: Clock) -> int:
    if clock.epochs is None:
        raise UsageError(
            "this schedule counts epochs, but the training is limited by steps; "
            "give fit(epochs=...), or use a schedule over the whole training (epochs=None)"
        )
    return clock.epochs
