"""The training loop, the same for every method.

For each batch of the feed: move it to the device, compute the losses of the method, refuse a non-finite one by name,
differentiate their sum, step every learner that has a term, call `after_update`, log. At the end of an epoch: evaluate,
keep the best weights, save. What is remembered between these steps is in `run.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from mulde.engine.checkpoint import RunFolder, restore_weights
from mulde.engine.device import Device, random_state, restore_random_state, seed_everything
from mulde.engine.feed import Feed, Passes
from mulde.engine.interruption import deferred_interrupt
from mulde.engine.learning import OptimizerFactory, learners_of
from mulde.engine.method import Evaluation, Method
from mulde.engine.optimizers import OptimizerSpec
from mulde.engine.provenance import fit_environment, frozen_fingerprints, parameters_of, settings
from mulde.engine.record import Log, Record
from mulde.engine.run import Limits, Run
from mulde.engine.update import NonFiniteLoss, update


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
        self.folder = None if folder is None else Path(folder)
        self.optimizers = OptimizerSpec() if optimizers is None else optimizers
        self.max_grad_norm = max_grad_norm
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
        passes = Passes(feed, self.device.rank, self.device.processes)
        self.device.place(method)
        learners = learners_of(method, self.optimizers, self.max_grad_norm)
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
        run = Run(method, passes, learners, limits, folder, log, self.device, self.title or name)
        run.continue_from_checkpoint()
        method.train()
        with run, run.bar(self.progress) as bar:
            while not run.stopped_by:  # one pass of the feed
                for batch in run.batches():
                    clock = run.clock()
                    with self.device.autocast():
                        losses = method.losses(self.device.move(batch), clock)
                    try:
                        norms = update(method, losses, learners, clock, self.device, passes.weight(batch))
                    except NonFiniteLoss as error:
                        raise NonFiniteLoss(f"{error}; {run.last_checkpoint}") from None
                    method.after_update(clock)
                    run.count(losses, norms)
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

    def _what_must_not_change(self, method: Method, limits: Limits) -> dict[str, Any]:
        """Settings that are compared when a fit is continued."""
        return {
            "config": self.config,
            "fit": {name: value for name, value in asdict(limits).items() if name != "budget_seconds"},
            "seed": self.seed,
            "precision": self.device.precision,
            "max_grad_norm": self.max_grad_norm,
            "optimizers": settings(self.optimizers),
            "learners": parameters_of(method),
            "frozen": frozen_fingerprints(method),
        }
