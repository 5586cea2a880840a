"""Bookkeeping of one fit: its limits, position, evaluations, checkpoints, log and progress bar.

`trainer.py` holds the training loop itself; it calls a `Run` for everything that is not an update.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from mulde.engine.callback import Callback, EpochEnd
from mulde.engine.checkpoint import RunFolder, restore_weights, save_weights, weights_of
from mulde.engine.clock import Clock
from mulde.engine.cost import Cost
from mulde.engine.device import Device, random_state, restore_random_state
from mulde.engine.feed import Passes
from mulde.engine.learning import Learner
from mulde.engine.limits import Limits
from mulde.engine.method import Evaluation, Method
from mulde.engine.progress import log_evaluation, progress_bar
from mulde.engine.record import Log, Record
from mulde.engine.update import Update
from mulde.errors import UsageError


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
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.title, self.callbacks = title, callbacks
        self.at = Position()
        self.stopped_by = ""
        self.method, self.passes, self.learners, self.limits = method, passes, learners, limits
        self.folder, self.log, self.device = folder, log, device
        self.cost = Cost()
        self._open = ExitStack()
        self._best_weights: dict[str, Tensor] | None = None
        self._started = self._saved = time.monotonic()
        self._spent = 0.0  # seconds, the same in every process

    def __enter__(self) -> Run:
        self._open.callback(self.log.close)
        self._open.enter_context(self.cost.of_networks(self.method))
        for callback in self.callbacks:
            self._open.callback(callback.end)
            callback.begin(self.method, self.learners, self.passes.feed)
        self._continue_from_checkpoint()
        self.method.train()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

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
        length = self.passes.length
        in_epoch = self.at.batch / length if length else 0.0
        if epochs and self.at.step != self.at.epoch * (length or 0) + self.at.batch:  # the passes differ in length
            done = (self.at.epoch + in_epoch) / epochs
        else:
            done = self.at.step / total if total else 0.0
        spent = self._spent / budget if budget else 0.0
        return Clock(self.at.step, self.at.epoch, epochs, min(1.0, max(done, spent)), in_epoch)

    def updates(self) -> Iterator[Update]:
        """The updates of the rest of the current pass of the feed."""
        if self.at.batch == 0:
            self.log.begin_epoch()
            for callback in self.callbacks:
                callback.before_epoch(self.clock())
        for batches in self.passes.run(self.at.epoch, self.at.batch):
            clock = self.clock()
            for callback in self.callbacks:
                callback.before_update(clock)
            weights = [self.passes.weight(batch) for batch in batches]
            moved = [self.device.move(batch) for batch in batches]
            yield Update(self.method, self.learners, moved, clock, self.device, weights, self.cost, self.callbacks)

    def count(self, update: Update) -> None:
        """Record an update that was made."""
        self.method.after_update(update.clock)
        for callback in self.callbacks:
            callback.after_update(update.clock)
        self.at.step += 1
        self.at.batch += 1
        self.log.add(update.first_losses)
        if update.norms:
            self.log.add({f"grad_norm/{name}": norm for name, norm in update.norms.items()})
        budget = self.limits.budget_seconds
        if budget is not None:
            self._spent = self.device.from_main(self.seconds)
        if self.at.step == self.limits.steps:
            self.stopped_by = "steps"
        elif budget is not None and self._spent >= budget:
            self.stopped_by = "budget"

    def end_epoch(self) -> None:
        """Record the end of a pass, and tell the method and the callbacks."""
        if self.at.batch == 0 and self.limits.epochs is None:
            raise UsageError(
                f"the feed delivers nothing more after {self.at.step} of {self.limits.steps} steps; "
                "give fewer steps, or limit the fit by epochs"
            )
        again = self.at.epoch
        self.at.epoch += 1
        self.at.batch = 0
        if self.at.epoch == self.limits.epochs:
            self.stopped_by = "epochs"
        end = self._epoch_end(again)
        self.method.after_epoch(end)
        for callback in self.callbacks:
            callback.after_epoch(end)

    def _epoch_end(self, epoch: int) -> EpochEnd:
        losses = {name: mean for name, mean in self.log.means_of_epoch().items() if not name.startswith("grad_norm/")}
        return EpochEnd(self.clock(), losses, self.at.metrics, lambda: self._batches_again(epoch), self._stop)

    def _batches_again(self, epoch: int) -> Iterator[Any]:
        return (self.device.move(batch) for batch in self.passes.again(epoch))

    def _stop(self, reason: str) -> None:
        self.stopped_by = self.stopped_by or reason

    @contextmanager
    def _kept_weights(self) -> Iterator[bool]:
        """The method with the weights that are kept; whether they are others than the current ones."""
        epoch = max(0, self.at.epoch - (self.at.batch == 0))
        clock = self.clock()
        with ExitStack() as stack:
            own = [one.kept_weights(clock, lambda: self._batches_again(epoch)) for one in self.callbacks]
            others = [stack.enter_context(weights) for weights in own]
            yield any(others)

    def evaluation_due(self) -> bool:
        """Whether to evaluate now: every `eval_every` epochs, and at the end."""
        return bool(self.stopped_by) or (self.at.batch == 0 and self.at.epoch % self.limits.eval_every == 0)

    def evaluate(self, metrics: Evaluation) -> None:
        """Evaluate; keep the weights if they are the best so far, and stop if patience is used up."""
        outside = random_state()  # the training must not depend on how often it is evaluated
        with self._kept_weights() as others:
            found = self._measured(metrics)
            kept = weights_of(self.method) if others else None
        if others:
            found = {**found, **{f"current/{name}": value for name, value in self._measured(metrics).items()}}
        restore_random_state(outside)
        at = self.at
        at.metrics = {key: float(value) for key, value in self.device.from_main(found).items()}
        at.evaluated_at = at.step
        if self.limits.select is None:
            at.best_epoch, at.best_metrics = at.epoch, at.metrics
        elif self._improved(*self.limits.select):
            at.best_epoch, at.best_metrics, at.without_improvement = at.epoch, at.metrics, 0
            self._best_weights = kept or weights_of(self.method)
            self._save_best()
        else:
            at.without_improvement += 1
            patience = self.limits.patience
            if patience is not None and at.without_improvement >= patience and not self.stopped_by:
                self.stopped_by = "patience"
        if self.device.is_main:
            self._log_evaluation()
        end = self._epoch_end(max(0, at.epoch - (at.batch == 0)))
        self.method.after_evaluation(end)
        for callback in self.callbacks:
            callback.after_evaluation(end)

    def _measured(self, metrics: Evaluation) -> dict[str, float]:
        self.method.eval()
        with torch.no_grad():
            found = {**metrics(self.method, self.clock()), **self.method.diagnostics(self.clock())}
        self.method.train()
        return found

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
        values = {name: value for callback in self.callbacks for name, value in callback.values().items()}
        return self.log.write(at.step, at.epoch + (at.batch > 0), self.seconds, rates | values | new)

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
                "cost": self.cost.state_dict(),
                "callbacks": [callback.state_dict() for callback in self.callbacks],
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

    def _continue_from_checkpoint(self) -> None:
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
        self.cost.load_state_dict(state["cost"])
        for callback, own in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(own)

    def finish(self, name: str | None) -> Record:
        """Load the final weights, write them with the record, and return the record."""
        if self._best_weights is None:
            with self._kept_weights() as others:
                self._best_weights = weights_of(self.method) if others else None
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
            cost=self.cost.state_dict(),
        )
        if self.folder is not None and self.device.is_main:
            self.folder.finish(record, weights_of(self.method))
        return record
