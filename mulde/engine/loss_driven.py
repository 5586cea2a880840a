"""A learning rate that falls when the training loss does, and ends the training (ALRS)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mulde.engine.callback import Callback, EpochEnd
from mulde.engine.feed import Feed
from mulde.engine.learning import Learner
from mulde.engine.method import Method
from mulde.errors import UsageError


@dataclass
class LossDrivenRate(Callback):
    """Multiply the learning rates by `factor` after each pass in which the loss has changed little.

    With the mean losses l' and l of the pass before and of this one, and d = l' - l, the rates fall where |d| is below
    `difference` and d / l is below `relative`. The fit ends when the factor is below `least`. This is the adaptive
    learning rate schedule (ALRS) in the code of Chen et al. 2022 (arXiv 2209.08473), whose thresholds are the defaults.
    The factor multiplies the schedule of the optimizer, so a warm-up is left to that.
    """

    factor: float = 0.9
    """Factor of the rates after such a pass."""
    difference: float = 0.02
    """Bound on the change of the loss."""
    relative: float = 0.02
    """Bound on the relative change of the loss."""
    least: float = 1e-4
    """Fraction of the highest rate below which the training ends."""

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise UsageError(f"factor is a fraction above 0 and below 1; got {self.factor}")

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Feed) -> None:
        """Begin with factor 1."""
        self._learners = list(learners.values())
        self._rate, self._loss = 1.0, math.inf
        self._tell_learners()

    def after_epoch(self, end: EpochEnd) -> None:
        """Compare the losses of two passes."""
        loss = sum(end.losses.values())
        change = self._loss - loss
        self._loss = loss
        if abs(change) < self.difference and change < self.relative * loss:
            self._rate *= self.factor
            self._tell_learners()
        if self._rate < self.least:
            end.stop("learning rate")

    def _tell_learners(self) -> None:
        for learner in self._learners:
            learner.rate_factors["loss"] = self._rate

    def values(self) -> dict[str, float]:
        """The factor."""
        return {"rate_factor": self._rate}

    def state_dict(self) -> dict[str, Any]:
        """Factor and last loss."""
        return {"rate": self._rate, "loss": self._loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._rate, self._loss = state["rate"], state["loss"]
        self._tell_learners()
