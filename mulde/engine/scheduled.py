"""Schedules of any number of a training: of the optimizers, the bounds on gradients, the method, or the feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mulde.engine.callback import Callback
from mulde.engine.clock import Clock, Schedule
from mulde.engine.feed import Feed
from mulde.engine.learning import Learner
from mulde.engine.method import Method
from mulde.errors import UsageError

BOUNDS = ("max_grad_norm", "max_grad_value")


@dataclass
class ScheduledNumbers(Callback):
    """Sets numbers by schedules; the values are in the log.

    A number is named by its place:

    optimizer.FIELD
        A field of all optimizers, for example ``optimizer.weight_decay``. The learning rate, ``optimizer.lr``, is
        multiplied by the schedule, in addition to the optimizer's own schedule.
    max_grad_norm, max_grad_value
        The bounds on the gradients of all learners.
    method.PATH
        An attribute of the method or of a module in it, for example ``method.temperature`` or ``method.dropout.p``.
    feed.PATH
        An attribute of the feed, for example ``feed.batch_size``; set before each pass, as a feed draws its order then.
    """

    numbers: Mapping[str, Schedule] = field(default_factory=dict)
    """Schedule of each number."""

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Feed) -> None:
        """Check the names.

        Raises
        ------
        UsageError
            If there is no such number.
        """
        self._learners = list(learners.values())
        self._roots = {"method": method, "feed": feed}
        self._last: dict[str, float] = {}
        self._before = {name: self._read(name) for name in self.numbers}

    def before_epoch(self, clock: Clock) -> None:
        """Set the numbers of the feed."""
        for name, schedule in self.numbers.items():
            if name.startswith("feed."):
                self._set(name, schedule(clock))

    def before_update(self, clock: Clock) -> None:
        """Set all other numbers."""
        for name, schedule in self.numbers.items():
            if not name.startswith("feed."):
                self._set(name, schedule(clock))

    def end(self) -> None:
        """Give method and feed the numbers they had before."""
        for name, value in self._before.items():
            if name.startswith(("method.", "feed.")):
                self._set(name, value)

    def values(self) -> dict[str, float]:
        """The numbers as they are now."""
        return {f"scheduled/{name}": value for name, value in self._last.items()}

    def state_dict(self) -> dict[str, Any]:
        """The numbers as they are now; those of the feed hold for the rest of a pass."""
        return dict(self._last)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for name, value in state.items():
            self._set(name, value)

    def _read(self, name: str) -> Any:
        root, _, rest = name.partition(".")
        if name in BOUNDS:
            return getattr(self._learners[0], name)
        if root == "optimizer" and rest:
            fields = self._learners[0].optimizer.param_groups[0]
            if rest not in fields:
                numbers = [key for key, value in fields.items() if isinstance(value, float)]
                raise UsageError(f'the optimizer has no number "{rest}"; it has {", ".join(numbers)}')
            return fields[rest]
        if root in self._roots and rest:
            value = self._roots[root]
            for part in rest.split("."):
                if not hasattr(value, part):
                    raise UsageError(
                        f'"{name}": the {type(value).__name__} has no attribute "{part}"; numbers of it: '
                        f"{', '.join(_numbers(value)) or 'none'}"
                    )
                value = getattr(value, part)
            if not isinstance(value, int | float):
                raise UsageError(f'"{name}" is a {type(value).__name__}; a schedule needs a number')
            return value
        raise UsageError(
            f'no number called "{name}"; write optimizer.FIELD, {", ".join(BOUNDS)}, method.PATH or feed.PATH'
        )

    def _set(self, name: str, value: float) -> None:
        root, _, rest = name.partition(".")
        if isinstance(self._before.get(name), int) and not isinstance(self._before[name], bool):
            value = round(value)
        self._last[name] = value
        if name in BOUNDS:
            for learner in self._learners:
                setattr(learner, name, value)
        elif name == "optimizer.lr":
            for learner in self._learners:
                learner.rate_factors["scheduled"] = value
        elif root == "optimizer":
            for learner in self._learners:
                for group in learner.optimizer.param_groups:
                    group[rest] = value
        else:
            *path, last = rest.split(".")
            owner = self._roots[root]
            for part in path:
                owner = getattr(owner, part)
            setattr(owner, last, value)


def _numbers(owner: Any) -> list[str]:
    """Names of the numbers among the attributes of an object."""
    return [
        name
        for name, value in vars(owner).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and not name.startswith("_")
    ]
