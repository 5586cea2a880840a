"""The four questions a training method answers.

A method is a torch module that owns every network involved. The trainer asks it for named losses and updates
its learners; what the losses mean, and which network learns from which, is the method's business alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from torch import Tensor, nn

from mulde.engine.clock import Clock


class Method(nn.Module, ABC):
    """Base class of all methods.

    State that must survive a resume belongs into parameters and buffers (a queue, an average, a counter).
    Networks that never learn are wrapped in `frozen`, moving averages are made by `average_of`.
    """

    cross_terms: AbstractSet[tuple[str, str]] = frozenset()
    """Terms that train another learner on purpose: {("a/soft", "b")} lets that term of a reach b too."""

    isolated: bool = False
    """True: one gradient call per learner, for joined graphs that must not train each other."""

    @abstractmethod
    def learners(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """The named sets of parameters that learn, each with its own optimiser; no parameter in two of them.

        Asked once per `fit`. Parameters that require no gradient are left out by the trainer.
        """

    @abstractmethod
    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        """Weighted scalar losses of one batch, named "learner/term".

        A learner is trained by the terms that carry its name, so whatever one learner receives from another
        is detached. A learner without a term in this step is not updated in this step.
        """

    def after_update(self, clock: Clock) -> None:
        """Called after every update, with the clock of that update: moving averages, queues, projections."""
        return

    @abstractmethod
    def predict(self, batch: Any) -> Tensor:
        """What is evaluated and shipped. Changes nothing."""

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """Figures for the log beside the losses, computed at every evaluation. Optional; changes nothing."""
        return {}

    def exported(self) -> dict[str, nn.Module]:
        """Networks that are kept after training, by role, the primary one first. Optional."""
        return {}
