"""Options of mechanisms that work with every training method: averages of the weights, cycles, update rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mulde.config import Count, NonNegative, Positive, Range
from mulde.errors import UsageError

if TYPE_CHECKING:
    from mulde.engine import Callback, Schedule

Part = Annotated[float, Range(0, 1)]
"""Type of a fraction."""
CYCLE = re.compile(r"(?P<name>[\w.]+)=(?P<ends>[^:]+):(?P<peak>[^:]+)(:(?P<factor>[^:]+))?")


@dataclass(frozen=True, kw_only=True)
class Additions:
    """Averages, cycles and update rules; they work with every method, and hold for its teachers and baseline too."""

    average: Literal["none", "swa", "ema"] = "none"
    """Keep an average of the weights: swa, the mean of those after every --average-every updates; ema, an exponential
    moving average."""
    average_every: Count = 1
    """Updates between two of the averaged weights."""
    average_begin: Part = 0.5
    """Fraction of the training after which averaging begins."""
    average_momentum: Part = 0.999
    """Fraction of the average that is kept; ema."""
    cycle: tuple[str, ...] = ()
    """Cycle of a number, NAME=ENDS:PEAK or NAME=ENDS:PEAK:FACTOR, from ENDS to PEAK and back. PEAK, which may be below
    ENDS, is reached after 1/FACTOR of the training (default 2). NAME is optimizer.weight_decay, optimizer.lr (a
    factor), max_grad_norm, max_grad_value, feed.batch_size, feed.augment_share (images), or a number of the method, for
    example method.temperature."""
    sharpness_radius: NonNegative = 0.0
    """Radius of sharpness-aware minimisation (SAM), which takes two gradients per update; 0: plain gradients."""
    accumulate: Count = 1
    """Batches per update, whose gradients are averaged."""
    max_grad_norm: Positive | None = None
    """Upper bound on the norm of the gradient. Default: none."""
    max_grad_value: Positive | None = None
    """Upper bound on each entry of the gradient. Default: none."""
    loss_driven_factor: Annotated[float, Range(0, 1)] = 1.0
    """Multiply the learning rate by this after an epoch in which the loss has changed little (ALRS), and end the
    training when it has become very small; 1: do not."""

    def for_trainer(self, of_method: bool = True) -> dict[str, Any]:
        """Arguments of `Trainer`.

        Parameters
        ----------
        of_method
            False: leave out cycles of numbers of the method, in a fit of another method (a teacher, a baseline).

        Raises
        ------
        UsageError
            For a cycle that is written in another way.
        """
        from mulde.engine import LossDrivenRate, ScheduledNumbers, SharpnessAware, WeightAverage  # imports torch

        callbacks: list[Callback] = []
        if self.average != "none":
            callbacks.append(
                WeightAverage(self.average, self.average_every, min(self.average_begin, 0.999), self.average_momentum)
            )
        if self.loss_driven_factor < 1:
            callbacks.append(LossDrivenRate(self.loss_driven_factor))
        cycles = dict(_cycle(text) for text in self.cycle)
        if numbers := {name: each for name, each in cycles.items() if of_method or not name.startswith("method.")}:
            callbacks.append(ScheduledNumbers(numbers))
        return {
            "callbacks": callbacks,
            "accumulate": self.accumulate,
            "rule": SharpnessAware(self.sharpness_radius) if self.sharpness_radius else None,
            "max_grad_norm": self.max_grad_norm,
            "max_grad_value": self.max_grad_value,
        }


def _cycle(text: str) -> tuple[str, Schedule]:
    from mulde.engine.clock import cyclical

    found = CYCLE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        ends, peak, factor = (float(found[part] or 2) for part in ("ends", "peak", "factor"))
    except ValueError:
        raise UsageError(
            "--cycle is NAME=ENDS:PEAK or NAME=ENDS:PEAK:FACTOR, for example optimizer.weight_decay=1e-5:1e-3; "
            f"got {text}"
        ) from None
    return found["name"], cyclical(ends, peak, factor)
