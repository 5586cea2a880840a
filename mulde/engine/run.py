"""Bookkeeping of one fit: its limits, position, evaluations, checkpoints, log and progress bar.

`trainer.py` holds the training loop itself; it calls a `Run` for everything that is not an update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from mulde.engine.checkpoint import RunFolder, restore_weights, save_weights, weights_of
from mulde.engine.clock import Clock
from mulde.engine.device import Device, random_state, restore_random_state
from mulde.engine.feed import Passes
from mulde.engine.learning import Learner
from mulde.engine.method import Evaluation, Method
from mulde.engine.progress import log_evaluation, progress_bar
from mulde.engine.record import Log, Record
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


@dataclass
class Position:
    """Progress of a fit; saved in every checkpoint."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    evaluated_at: int = -1
    without_improvement: int = 0
    best_epoch: int | None = None
    best_metrics: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class Run:
    """The state of one fit."""

    def __init__(
        self,
        method: Method,
        passes: Passes,
        learners: dict[str, Learner],
        limits: Limits,
        folder: RunFolder | None,
        log: Log,
        device: Device,
        title: str | None = None,
    ) -> None:
        self.title = title
        self.at = Position()
        self.stopped_by = ""
        self.method, self.passes, self.learners, self.limits = method, passes, learners, limits
        self.folder, self.log, self.device = folder, log, device
        self._best_weights: dict[str, Tensor] | None = None
        self._started = self._saved = time.monotonic()
        self._spent = 0.0  # seconds, the same in every process

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.log.close()

    @property
    def total_steps(self) -> int | None:
        """Updates in the whole fit, or None if that is not known beforehand."""
        if self.limits.epochs is None:
            return self.limits.steps
        length = self.passes.length
        return None if length is None else length * self.limits.epochs

    @property
    def seconds(self) -> float:
        """Time used so far, in seconds, including earlier calls."""
        return self.at.seconds + time.monotonic() - self._started

    @property
    def paused(self) -> bool:
        """Whether the budget stopped the fit; a later call with a larger budget continues it."""
        return self.stopped_by == "budget"

    def clock(self) -> Clock:
        """The clock of the next update, or of an evaluation now.

        Progress is the fraction of the budget that is used if that is more than the fraction of the steps. So a
        schedule over the whole training reaches its end when the budget ends.
        """
        total, epochs, budget = self.total_steps, self.limits.epochs, self.limits.budget_seconds
        done = self.at.step / total if total else self.at.epoch / epochs if epochs else 0.0
        spent = self._spent / budget if budget else 0.0
        in_epoch = self.at.batch / self.passes.length if self.passes.length else 0.0
        return Clock(self.at.step, self.at.epoch, epochs, min(1.0, max(done, spent)), in_epoch)

    def batches(self) -> Iterator[Any]:
        """The rest of the current pass of the feed."""
        return self.passes.run(self.at.epoch, self.at.batch)

    def count(self, losses: dict[str, Tensor], norms: dict[str, Tensor]) -> None:
        """Record one update."""
        self.at.step += 1
        self.at.batch += 1
        self.log.add(losses)
        if norms:
            self.log.add({f"grad_norm/{name}": norm for name, norm in norms.items()})
        budget = self.limits.budget_seconds
        if budget is not None:
            self._spent = self.device.from_main(self.seconds)
        if self.at.step == self.limits.steps:
            self.stopped_by = "steps"
        elif budget is not None and self._spent >= budget:
            self.stopped_by = "budget"

    def end_epoch(self) -> None:
        """Record the end of a pass."""
        if self.at.batch == 0 and self.limits.epochs is None:
            raise UsageError(
                f"the feed delivers nothing more after {self.at.step} of {self.limits.steps} steps; "
                "give fewer steps, or limit the fit by epochs"
            )
        self.at.epoch += 1
        self.at.batch = 0
        if self.at.epoch == self.limits.epochs:
            self.stopped_by = "epochs"

    def evaluation_due(self) -> bool:
        """Whether to evaluate now: every `eval_every` epochs, and at the end."""
        return bool(self.stopped_by) or (self.at.batch == 0 and self.at.epoch % self.limits.eval_every == 0)

    def evaluate(self, metrics: Evaluation) -> None:
        """Evaluate; keep the weights if they are the best so far, and stop if patience is used up."""
        outside = random_state()  # the training must not depend on how often it is evaluated
        self.method.eval()
        with torch.no_grad():
            found = {**metrics(self.method, self.clock()), **self.method.diagnostics(self.clock())}
        self.method.train()
        restore_random_state(outside)
        at = self.at
        at.metrics = {key: float(value) for key, value in self.device.from_main(found).items()}
        at.evaluated_at = at.step
        if self.limits.select is None:
            at.best_epoch, at.best_metrics = at.epoch, at.metrics
        elif self._improved(*self.limits.select):
            at.best_epoch, at.best_metrics, at.without_improvement = at.epoch, at.metrics, 0
            self._best_weights = weights_of(self.method)
            self._save_best()
        else:
            at.without_improvement += 1
            patience = self.limits.patience
            if patience is not None and at.without_improvement >= patience and not self.stopped_by:
                self.stopped_by = "patience"
        if self.device.is_main:
            self._log_evaluation()

    def _log_evaluation(self) -> None:
        done = self.clock().progress
        left = self.seconds * (1 / done - 1) if done and not self.stopped_by else None
        select = self.limits.select
        begun = 0 < self.at.batch != self.passes.length  # the budget or the steps end inside an epoch
        log_evaluation(
            self.title, self.at.epoch + (self.at.batch > 0), self.at.metrics, None if select is None else select[0],
            left, "part of epoch" if begun else "epoch",
        )  # fmt: skip

    def _save_best(self) -> None:
        if self._best_weights is not None and self.folder is not None and self.device.is_main:
            save_weights(self.folder.best, self._best_weights)

    def _improved(self, metric: str, direction: str) -> bool:
        if metric not in self.at.metrics:
            raise UsageError(f'select: no metric called "{metric}"; evaluate returned {", ".join(self.at.metrics)}')
        now = self.at.metrics[metric]
        if math.isnan(now):
            raise UsageError(f'evaluate returned nan for "{metric}" after epoch {self.at.epoch}')
        if not self.at.best_metrics:
            return True
        before = self.at.best_metrics[metric]
        return now > before if direction == "max" else now < before

    def write_line(self) -> dict[str, float]:
        """Write a line of the log: mean losses since the last one, learning rates, new metrics. Returns the losses."""
        at = self.at
        new = at.metrics if at.evaluated_at == at.step else {}
        rates = {f"lr/{name}": learner.learning_rate for name, learner in self.learners.items()}
        return self.log.write(at.step, at.epoch + (at.batch > 0), self.seconds, rates | new)

    def save(self) -> None:
        """Write a checkpoint."""
        self._saved = time.monotonic()
        if self.folder is None or not self.device.is_main:
            return
        self.folder.save(
            {
                "at": asdict(self.at) | {"seconds": self.seconds},
                "method": weights_of(self.method),
                "best_weights": self._best_weights,
                "optimizers": {name: learner.optimizer.state_dict() for name, learner in self.learners.items()},
                "feed": self.passes.state_dict(),
                "log": self.log.state_dict(),
            }
        )

    @property
    def last_checkpoint(self) -> str:
        """Path of the last checkpoint, as a phrase for a message."""
        if self.folder is None or not self.folder.checkpoint.exists():
            return "no checkpoint was written yet"
        return f"last checkpoint: {self.folder.checkpoint}"

    def bar(self, visible: bool | None) -> Any:
        """A progress bar with rate, remaining time, validation metric and losses; see `progress_bar`."""
        return progress_bar(self.title, self.total_steps, self.at.step, visible if self.device.is_main else False)

    def beside_bar(self, losses: dict[str, float]) -> dict[str, float]:
        """What a progress bar shows at its end: a metric of the last evaluation, the one that selects if there is one,
        and the losses."""
        metrics, select = self.at.metrics, self.limits.select
        shown = next(iter(metrics), None) if select is None or not metrics else select[0]
        return losses if shown is None else {shown: metrics[shown], **losses}

    def save_if_due(self, seconds: float) -> None:
        """Write a checkpoint if the last one is older than this."""
        if time.monotonic() - self._saved >= seconds:
            self.save()

    def continue_from_checkpoint(self) -> None:
        """Restore the last checkpoint, or start at the beginning."""
        state = None if self.folder is None else self.folder.load()
        if state is None:
            self.log.cut()
            return
        self.at = Position(**state["at"])
        self._spent = self.at.seconds
        restore_weights(self.method, state["method"])
        self._best_weights = state["best_weights"]
        self._save_best()  # the file may be from the evaluation at a pause
        for name, learner in self.learners.items():
            learner.optimizer.load_state_dict(state["optimizers"][name])
        self.passes.load_state_dict(state["feed"])
        self.log.load_state_dict(state["log"])

    def finish(self, name: str | None) -> Record:
        """Load the final weights, write them with the record, and return the record."""
        if self._best_weights is not None:
            restore_weights(self.method, self._best_weights)
        self.method.eval()
        at = self.at
        record = Record(
            name=name,
            finished=True,
            stopped_by=self.stopped_by,
            steps=at.step,
            epochs=at.epoch,
            seconds=self.seconds,
            best_epoch=at.best_epoch,
            best_metrics=at.best_metrics,
            metrics=at.metrics,
        )
        if self.folder is not None and self.device.is_main:
            self.folder.finish(record, weights_of(self.method))
        return record
