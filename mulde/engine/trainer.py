"""The training loop, the same for every method.

For each batch of the feed: move it to the device, make an update (`update.py`: losses, gradients, step of the
learners), call `after_update` of the method and of the callbacks, log. At the end of an epoch: evaluate, keep the best
weights, save. What is remembered between these steps is in `run.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from mulde.engine.callback import Callback
from mulde.engine.checkpoint import RunFolder, restore_weights
from mulde.engine.device import Device, random_state, restore_random_state, seed_everything
from mulde.engine.feed import Feed, Passes
from mulde.engine.interruption import deferred_interrupt
from mulde.engine.learning import OptimizerFactory, learners_of
from mulde.engine.limits import Limits
from mulde.engine.method import Evaluation, Method
from mulde.engine.optimizers import OptimizerSpec
from mulde.engine.provenance import fit_environment, frozen_fingerprints, named, parameters_of, settings
from mulde.engine.record import Log, Record
from mulde.engine.run import Run
from mulde.engine.update import NonFiniteLoss, Rule
from mulde.errors import UsageError


class Trainer:
    """Trains methods. Each call of `fit` is one named stage with its own folder.

    Parameters
    ----------
    folder
        Folder of the named fits, folder/name/; None writes no files.
    optimizers
        One factory for all learners, or one per learner name; by default `OptimizerSpec()`.
    max_grad_norm
        Upper bound on the gradient norm of a learner, for all or by name; None: no bound.
    max_grad_value
        Upper bound on the absolute value of each entry of the gradient, likewise.
    accumulate
        Batches per update; their gradients are averaged. Steps and schedules count updates.
    rule
        How an update is made; None: as the method does, which is gradient descent in most.
    callbacks
        Additions that work with every method, see `callback.py`.
    device, precision
        See `Device`.
    seed
        Seed of every fit; a stage does not depend on what was run before it.
    config
        Settings that are written beside the results and compared when a fit is continued.
    checkpoint_every
        Seconds between checkpoints. At the end of an epoch, where resuming is cheapest, a tenth of them suffices.
    log_every
        Steps between two lines of the log; the end of an epoch always gets one.
    progress
        Show a progress bar; None: in terminals and notebooks only. Every evaluation is also a line of the logger
        "mulde", at level INFO.
    title
        Title of the bar; by default the name of the fit.
    tensorboard
        Also write TensorBoard event files (needs the package tensorboard).
    """

    def __init__(
        self,
        *,
        folder: Path | str | None = None,
        optimizers: OptimizerFactory | Mapping[str, OptimizerFactory] | None = None,
        max_grad_norm: float | Mapping[str, float] | None = None,
        max_grad_value: float | Mapping[str, float] | None = None,
        accumulate: int = 1,
        rule: Rule | None = None,
        callbacks: Sequence[Callback] = (),
        device: str = "cpu",
        precision: str = "32-true",
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
        checkpoint_every: float = 60.0,
        log_every: int = 100,
        progress: bool | None = None,
        title: str | None = None,
        tensorboard: bool = False,
    ) -> None:
        if accumulate < 1:
            raise UsageError(f"accumulate must be at least 1 batch; got {accumulate}")
        self.folder = None if folder is None else Path(folder)
        self.optimizers = OptimizerSpec() if optimizers is None else optimizers
        self.max_grad_norm, self.max_grad_value = max_grad_norm, max_grad_value
        self.accumulate, self.rule, self.callbacks = accumulate, rule, callbacks
        self.device = Device(device, precision)
        self.seed = seed
        self.config = dict(config or {})
        self.checkpoint_every = checkpoint_every
        self.log_every = log_every
        self.progress = progress
        self.title = title
        self.tensorboard = tensorboard

    def fit(
        self,
        method: Method,
        feed: Feed,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        evaluate: Evaluation | None = None,
        name: str | None = "fit",
        select: tuple[str, Literal["max", "min"]] | None = None,
        patience: int | None = None,
        eval_every: int = 1,
        budget_seconds: float | None = None,
    ) -> Record:
        """Train the method; afterwards it is in eval mode and has the final weights.

        Parameters
        ----------
        method
            The method.
        feed
            Batches, iterated once per epoch; see `feed.py`. With several processes it is divided if it can be.
        epochs, steps
            Length of the training; give exactly one.
        evaluate
            Metrics, computed every `eval_every` epochs and at the end.
        name
            Name and folder of this fit. A finished fit is loaded, an unfinished one continued. None writes no files.
        select
            Metric and direction, ("valid/mrr", "max"): the weights of the best evaluation become the final ones.
        patience
            Evaluations without improvement after which the training stops.
        eval_every
            Epochs between two evaluations.
        budget_seconds
            Time after which the training stops, at the end of a step. A later call with a larger budget continues it.
            Schedules over the whole training reach their end with the budget.

        Returns
        -------
        Record
            Summary of the fit.

        Raises
        ------
        ConfigurationChanged
            If a fit of this name was started with other settings.
        NonFiniteLoss
            If a loss becomes nan or infinite.
        UsageError
            For wrong names and limits.
        KeyboardInterrupt
            After Ctrl-C. A checkpoint has been written, and the same call continues.
        """
        limits = Limits(epochs, steps, budget_seconds, patience, select, eval_every)
        limits.check(evaluates=evaluate is not None)
        outside = random_state()  # what the caller draws next must not depend on whether this fit was reused
        try:
            with deferred_interrupt() as interrupted:
                return self._fit(method, feed, limits, evaluate, name, interrupted)
        finally:
            restore_random_state(outside)

    def _fit(
        self,
        method: Method,
        feed: Feed,
        limits: Limits,
        evaluate: Evaluation | None,
        name: str | None,
        interrupted: Callable[[], bool],
    ) -> Record:
        passes = Passes(feed, self.device.rank, self.device.processes, self.accumulate)
        self.device.place(method)
        learners = learners_of(method, self.optimizers, self.max_grad_norm, self.max_grad_value)
        rule = self._rule(method)
        folder = None if self.folder is None or name is None else RunFolder(self.folder / name)
        if folder is not None:
            if self.device.is_main:
                folder.begin(self._what_must_not_change(method, limits), fit_environment(self.device, self.seed))
            record = folder.record()
            if record is not None and not limits.allow_more(record):
                restore_weights(method, folder.final_weights())
                method.eval()
                return replace(record, reused=True)

        seed_everything(self.seed)
        log = Log(folder.log if folder and self.device.is_main else None, self.tensorboard)
        run = Run(method, passes, learners, limits, folder, log, self.device, self.title or name, self.callbacks)
        with run, run.bar(self.progress) as bar:
            while not run.stopped_by:  # one pass of the feed
                for update in run.updates():
                    try:
                        rule(update)
                    except NonFiniteLoss as error:
                        raise NonFiniteLoss(f"{error}; {run.last_checkpoint}") from None
                    run.count(update)
                    bar.update()
                    if run.stopped_by:
                        break
                    if run.at.step % self.log_every == 0:
                        bar.set_postfix(run.beside_bar(run.write_line()))
                    if interrupted():
                        if passes.continuable:
                            run.save()
                        raise KeyboardInterrupt
                    if passes.continuable:
                        run.save_if_due(self.checkpoint_every)
                else:
                    run.end_epoch()
                if run.paused:
                    run.save()  # before the evaluation, which is not stored when a fit is continued
                if evaluate is not None and run.evaluation_due():
                    run.evaluate(evaluate)
                bar.set_postfix(run.beside_bar(run.write_line()))
                if not run.stopped_by:
                    run.save_if_due(self.checkpoint_every / 10)
            record = run.finish(name)
        if interrupted():  # too late to stop this fit, but not what follows it
            raise KeyboardInterrupt
        return record

    def _rule(self, method: Method) -> Rule:
        """How updates are made. Raises UsageError if both the trainer and the method say how."""
        if self.rule is None:
            return method.update
        if type(method).update is not Method.update:
            raise UsageError(
                f"{type(method).__name__} makes its updates in a way of its own, so the update rule "
                f"{type(self.rule).__name__} cannot be used with it; leave the rule out"
            )
        return self.rule

    def _what_must_not_change(self, method: Method, limits: Limits) -> dict[str, Any]:
        """Settings that are compared when a fit is continued."""
        further = {
            "max_grad_value": self.max_grad_value,
            "accumulate": None if self.accumulate == 1 else self.accumulate,
            "rule": None if self.rule is None else named(self.rule),
            "callbacks": {str(number): named(callback) for number, callback in enumerate(self.callbacks)} or None,
        }
        return {
            "config": self.config,
            "fit": {name: value for name, value in asdict(limits).items() if name != "budget_seconds"},
            "seed": self.seed,
            "precision": self.device.precision,
            "max_grad_norm": self.max_grad_norm,
            "optimizers": settings(self.optimizers),
            "learners": parameters_of(method),
            "frozen": frozen_fingerprints(method),
            **{name: value for name, value in further.items() if value is not None},
        }
