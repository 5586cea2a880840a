"""The base class of training methods.

A method is a torch module that contains every network involved. The trainer gets named losses from it and updates its
learners. The meaning of the losses, and which network learns from which, is the method's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mulde.engine.callback import EpochEnd
from mulde.engine.clock import Clock

if TYPE_CHECKING:
    from mulde.engine.update import Update

Evaluation = Callable[[Any, Clock], Mapping[str, float]]
"""Metrics of a method at a moment, computed in eval mode and without gradients."""


class Method(nn.Module, ABC):
    """Base class of all methods.

    Keep state that must survive a resume in parameters and buffers (a queue, an average, a counter). Wrap networks that
    never learn in `frozen`; make moving averages with `average_of`.
    """

    cross_terms: AbstractSet[tuple[str, str]] = frozenset()
    """Terms that also train another learner: {("a/soft", "b")} lets that term of learner a train b too."""

    isolated: bool = False
    """True: one gradient call per learner, for joined graphs whose learners must not train each other."""

    @abstractmethod
    def learners(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """The named sets of parameters that learn, each with its own optimizer.

        Called once per `fit`. A parameter belongs to one learner at most; parameters that require no gradient are left
        out by the trainer.
        """

    @abstractmethod
    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        """Weighted scalar losses of one batch, named "learner/term".

        A learner is trained by the terms that carry its name, so detach what it receives from another learner. A
        learner without a term in this step is not updated in this step.
        """

    def update(self, update: Update) -> None:
        """Make one update from the parts in `update`; by default gradient descent on the losses."""
        update.descend()

    def after_update(self, clock: Clock) -> None:
        """Called after every update with the clock of that update: moving averages, queues, projections."""
        return

    def after_epoch(self, end: EpochEnd) -> None:
        """Called after each pass, before the evaluation: may look at the data, and may ask to stop."""
        return

    def after_evaluation(self, end: EpochEnd) -> None:
        """Called after each evaluation, with its metrics."""
        return

    @abstractmethod
    def predict(self, batch: Any) -> Tensor:
        """The output for a batch, for evaluations that `build` passes in a `Setup`. Changes nothing.

        Without such an evaluation the student is evaluated and kept: the first network of `exported`, or the student
        that `run` returns. What `predict` adds to it has no effect there.
        """

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """Optional figures for the log beside the losses, computed at every evaluation. Changes nothing."""
        return {}

    def exported(self) -> dict[str, nn.Module]:
        """Optional networks that are kept after training, by role, the primary one first."""
        return {}
