"""Additions to a training that work with every method: averages of the weights, schedules, changes of the forward pass.

A callback is called around every update, pass and evaluation. It never belongs to one method; what does is in the
method itself, which has the same `after_epoch` and `after_evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mulde.engine.clock import Clock

if TYPE_CHECKING:
    from mulde.engine.feed import Feed
    from mulde.engine.learning import Learner
    from mulde.engine.method import Method


@dataclass(frozen=True)
class EpochEnd:
    """The state of a fit after a pass or an evaluation, and what can be asked for."""

    clock: Clock
    """The moment."""
    losses: Mapping[str, float]
    """Means of all loss terms over the pass, or over its part so far."""
    metrics: Mapping[str, float]
    """Metrics of the last evaluation."""
    batches: Callable[[], Iterator[Any]]
    """The batches of one pass, on the device. They leave no trace: the training continues as without them."""
    stop: Callable[[str], None]
    """Ends the fit; the argument is the reason, which becomes `Record.stopped_by`."""


class Callback:
    """Base class of callbacks. Every hook does nothing unless it is overridden.

    State that must survive a resume is in `state_dict`. The attributes of a dataclass are compared when a fit is
    continued.
    """

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Feed) -> None:
        """Called once, before a checkpoint is restored."""

    def before_epoch(self, clock: Clock) -> None:
        """Called before each pass, before the feed draws its order; not when a pass is continued."""

    def before_update(self, clock: Clock) -> None:
        """Called before the losses of an update are computed."""

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        """Further loss terms of a batch, named "learner/term"; called after `Method.losses` of the same batch."""
        return {}

    def after_update(self, clock: Clock) -> None:
        """Called after an update and after the method's own `after_update`."""

    def after_epoch(self, end: EpochEnd) -> None:
        """Called after each pass, before the evaluation."""

    def after_evaluation(self, end: EpochEnd) -> None:
        """Called after each evaluation."""

    def end(self) -> None:
        """Called once, after the last update and after an error; removes what `begin` has attached."""

    def kept_weights(self, clock: Clock, batches: Callable[[], Iterator[Any]]) -> AbstractContextManager[bool]:
        """A context in which the method has the weights that are evaluated and kept.

        Parameters
        ----------
        clock
            The moment.
        batches
            See `EpochEnd.batches`.

        Returns
        -------
        context manager
            Its value is False if the weights are the current ones, which is the default.
        """
        return nullcontext(False)

    def values(self) -> dict[str, float]:
        """Numbers for the log, by name."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State as tensors and plain containers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; called after `begin`."""
