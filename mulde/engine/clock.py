"""Where a training is, and scalars that change with it.

A `Clock` is handed to every call of a method, so that a weight, a temperature or a learning rate can be an
ordinary function of time. A schedule is such a function: `weight = linear(0.0, 1.0, epochs=20)`, later
`weight(clock)`. Schedules keep no state, hence a resumed training continues them exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment of one update (or evaluation)."""

    step: int
    """Updates done before this moment: 0 in the first update."""
    epoch: int
    """Passes of the feed completed: 0 during the first pass, 1 in the evaluation that follows it."""
    epochs: int | None
    """Passes in all; None where the training was limited by `steps=`."""
    progress: float
    """Share of the training that is done, in [0, 1], or of its budget of time if that is more; moves once per epoch
    where the feed has no length."""
    epoch_progress: float = 0.0
    """Share of the current pass that is done; 0 where the feed has no length."""


BELIEF = 0.1  # of a training: as much as this of it speaks for all epochs in `expected_share`

Schedule = Callable[[Clock], float]


def constant(value: float) -> Schedule:
    """The same value at every moment."""
    return lambda clock: value


def as_schedule(value: float | Schedule) -> Schedule:
    """A number as a constant schedule; a schedule as it is. For options that take either."""
    return value if callable(value) else constant(value)


def linear(start: float, end: float, epochs: float | None = None, whole_epochs: bool = False) -> Schedule:
    """From `start` to `end` in a straight line, then `end`.

    epochs: how long it takes; None: the whole training.
    whole_epochs: move once per epoch, epochs counted from 1: during epoch i the share i / epochs has passed.
    """
    return lambda clock: start + (end - start) * _share(clock, epochs, whole_epochs)


def cosine(start: float, end: float, epochs: float | None = None, whole_epochs: bool = False) -> Schedule:
    """From `start` to `end` along half a cosine (Loshchilov and Hutter 2017); otherwise as `linear`."""
    return lambda clock: end + (start - end) * (1 + math.cos(math.pi * _share(clock, epochs, whole_epochs))) / 2


def exponential(start: float, end: float, epochs: float | None = None, whole_epochs: bool = False) -> Schedule:
    """From near `start` to `end` along exp(-5 (1 - share)^2) (Laine and Aila 2017); otherwise as `linear`."""
    return lambda clock: start + (end - start) * math.exp(-5 * (1 - _share(clock, epochs, whole_epochs)) ** 2)


def step_decay(start: float, factor: float, every: int, limit: float = math.inf) -> Schedule:
    """`start`, multiplied by `factor` after every `every` epochs, never above `limit`."""

    def value(clock: Clock) -> float:
        _refuse_without_epochs(clock)
        stairs = clock.epoch // every
        if factor > 1 and stairs * math.log(factor) > 700:  # the power would overflow
            return limit
        return min(start * factor**stairs, limit)

    return value


def expected_share(clock: Clock) -> float:
    """Share in (0, 1] of all epochs that a training will have made when its budget of time is up, by its speed so far.

    Before there is a speed, and a little ever after, it is believed that there is time for all.
    """
    done = (clock.epoch + clock.epoch_progress) / _refuse_without_epochs(clock)
    return 1.0 if clock.progress <= done + 1e-9 else (done + BELIEF) / (clock.progress + BELIEF)


def _share(clock: Clock, epochs: float | None, whole_epochs: bool) -> float:
    """Share in [0, 1] of a schedule's duration that has passed."""
    if epochs is None and not whole_epochs:
        return clock.progress
    if epochs is not None and epochs <= 0:
        return 1.0
    total = _refuse_without_epochs(clock)
    passed = clock.epoch + (1 if whole_epochs else clock.epoch_progress)
    duration = total if epochs is None else epochs
    return min(1.0, passed / duration)


def _refuse_without_epochs(clock: Clock) -> int:
    if clock.epochs is None:
        raise ValueError(
            "this schedule counts epochs, but the training is limited by steps; "
            "give fit(epochs=...), or use a schedule over the whole training (epochs=None)"
        )
    return clock.epochs
