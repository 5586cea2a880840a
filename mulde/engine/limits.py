"""When a fit ends, and which weights it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mulde.engine.record import Record
from mulde.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """When a fit ends and which weights it keeps: the arguments of `Trainer.fit` of the same names."""

    epochs: int | None
    steps: int | None
    budget_seconds: float | None
    patience: int | None
    select: tuple[str, Literal["max", "min"]] | None
    eval_every: int

    def check(self, evaluates: bool) -> None:
        """Raise UsageError if the limits contradict each other."""
        if (self.epochs is None) == (self.steps is None):
            raise UsageError(f"fit needs exactly one of epochs and steps; got epochs={self.epochs}, steps={self.steps}")
        for name in ("epochs", "steps", "patience", "eval_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1; got {value}")
        if self.select is not None and not evaluates:
            raise UsageError(f'select names the metric "{self.select[0]}", but there is no evaluate to compute it')
        if self.select is not None and self.select[1] not in ("max", "min"):
            raise UsageError(f'select is (metric, "max" or "min"); got {self.select}')
        if self.patience is not None and self.select is None:
            raise UsageError('patience needs a metric to watch; give select=("valid/mrr", "max") or another one')

    def allow_more(self, record: Record) -> bool:
        """Whether a finished fit was stopped by its budget and the budget is larger now."""
        used_up = self.budget_seconds is not None and self.budget_seconds <= record.seconds
        return record.stopped_by == "budget" and not used_up
