"""Averages of the weights over a training (SWA, EMA), kept instead of the last weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mulde.engine.batch_statistics import estimate_statistics
from mulde.engine.callback import Callback
from mulde.engine.checkpoint import restore_weights, weights_of
from mulde.engine.clock import Clock
from mulde.engine.feed import Feed
from mulde.engine.learning import Learner
from mulde.engine.method import Method
from mulde.errors import UsageError


@dataclass
class WeightAverage(Callback):
    """The average of all learned parameters, evaluated and kept in place of the last ones.

    swa: the mean of the weights after every `every` updates (Izmailov et al. 2018; per step as in Lu et al. 2022).
    ema: `momentum` times the average plus 1 - `momentum` times the weights, also every `every` updates.

    Before an evaluation the statistics of batch normalisation are estimated anew, with one pass of the feed. Metrics of
    the current weights are reported with the prefix "current/".
    """

    kind: Literal["swa", "ema"] = "swa"
    """How weights are averaged."""
    every: int = 1
    """Updates between two of the averaged weights."""
    begin_at: float = 0.0
    """Fraction of the training after which averaging begins, in [0, 1)."""
    momentum: float = 0.999
    """Fraction of the average that is kept; ema."""

    def __post_init__(self) -> None:
        if self.kind not in ("swa", "ema"):
            raise UsageError(f'no average called "{self.kind}"; choose swa or ema')
        if self.every < 1:
            raise UsageError(f"every must be at least 1 update; got {self.every}")
        if not 0 <= self.begin_at < 1:
            raise UsageError(f"begin_at is a fraction of the training, in [0, 1); got {self.begin_at}")
        if not 0 <= self.momentum <= 1:
            raise UsageError(f"momentum is a fraction between 0 and 1; got {self.momentum}")

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Feed) -> None:
        """Begin without an average."""
        self._method, self._number = method, 0
        self._parameters = [parameter for learner in learners.values() for parameter in learner.parameters]
        self._average: list[Tensor] = []

    @torch.no_grad()
    def after_update(self, clock: Clock) -> None:
        """Add the weights to the average where it is time."""
        if clock.progress < self.begin_at or (clock.step + 1) % self.every:
            return
        self._number += 1
        if self._number == 1:
            self._average = [parameter.detach().clone() for parameter in self._parameters]
            return
        share = 1 / self._number if self.kind == "swa" else 1 - self.momentum
        for average, parameter in zip(self._average, self._parameters, strict=True):
            average.lerp_(parameter, share)

    def kept_weights(self, clock: Clock, batches: Callable[[], Iterator[Any]]) -> AbstractContextManager[bool]:
        """A context in which the method has the averaged weights; the current ones before there is an average."""
        return self._averaged(clock, batches)

    @contextmanager
    def _averaged(self, clock: Clock, batches: Callable[[], Iterator[Any]]) -> Iterator[bool]:
        if not self._number:
            yield False
            return
        current = weights_of(self._method)
        with torch.no_grad():
            for average, parameter in zip(self._average, self._parameters, strict=True):
                parameter.copy_(average)
        with_gradients = torch.enable_grad()(self._method.losses)  # losses may differentiate, as a trial step does
        estimate_statistics(self._method, batches(), lambda batch: with_gradients(batch, clock))
        try:
            yield True
        finally:
            restore_weights(self._method, current)

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of weights in it."""
        return {"number": self._number, "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._number = state["number"]
        pairs = zip(state["average"], self._parameters, strict=False)  # empty before the first average
        self._average = [average.to(parameter) for average, parameter in pairs]
