"""The trainer: one explicit loop for every method.

For each batch of the feed: move it, ask the method for its losses, refuse a non-finite one by name,
differentiate the sum, step every learner that has a term, call `after_update`, log. At the end of an epoch:
evaluate, remember the best, save. Nothing here knows what a method is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from mulde.engine.checkpoint import RunFolder, load_weights, restore_weights
from mulde.engine.device import Device, random_state, restore_random_state, seed_everything
from mulde.engine.feed import Passes
from mulde.engine.interruption import deferred_interrupt
from mulde.engine.learning import OptimizerFactory, OptimizerSpec, learners_of
from mulde.engine.method import Method
from mulde.engine.provenance import fit_environment, frozen_fingerprints, parameters_of, settings
from mulde.engine.record import Log, Record
from mulde.engine.run import Evaluation, Limits, Run
from mulde.engine.update import NonFiniteLoss, update


class Trainer:
    """Trains methods; each call of `fit` is one named stage with its own folder."""

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
        """
        folder: where named fits are kept, folder/name/; None writes no files.
        optimizers: one factory for all learners, or one per learner name; None: `OptimizerSpec()`.
        max_grad_norm: largest gradient norm of a learner, for all or by name; None does not clip.
        device, precision: see `Device`.
        seed: of every fit, so that a stage does not depend on what was run before it.
        config: the resolved configuration; written beside the results and compared when a fit is continued.
        checkpoint_every: seconds between checkpoints; the end of an epoch, where resuming is cheapest, takes
            one after a tenth of them.
        log_every: steps between two lines of the log; the end of an epoch always gets one.
        progress: a progress bar on stderr; None shows it on terminals only.
        title: what stands before the bar; None: the name of the fit.
        tensorboard: also write event files (needs the package tensorboard).
        """
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
        feed: Iterable[Any],
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
        """Trains the method and leaves it in eval mode with the final weights.

        feed: iterated once per epoch; see `feed.py`.
        epochs, steps: exactly one of them limits the training.
        evaluate: metrics, computed every `eval_every` epochs and at the end, in eval mode without gradients.
        name: folder of this fit; a finished one is loaded, an unfinished one continued. None writes no files.
        select: ("valid/mrr", "max"): the weights of the best evaluation become the final ones.
        patience: evaluations without improvement after which the training stops.
        budget_seconds: time after which it stops, at the end of the step; a later call with more time continues it.
            Whatever changes over the training, as a falling learning rate does, has changed when the time is up.

        Raises ConfigurationChanged, NonFiniteLoss, ValueError for wrong names, KeyboardInterrupt after Ctrl-C
        (then a checkpoint has been written, and the same call continues).
        """
        limits = Limits(epochs, steps, budget_seconds, patience, select, eval_every)
        limits.check(evaluates=evaluate is not None)
        outside = random_state()  # what the caller draws later must not depend on whether this fit was reused
        try:
            with deferred_interrupt() as interrupted:
                return self._fit(method, feed, limits, evaluate, name, interrupted)
        finally:
            restore_random_state(outside)

    def _fit(
        self,
        method: Method,
        feed: Iterable[Any],
        limits: Limits,
        evaluate: Evaluation | None,
        name: str | None,
        interrupted: Callable[[], bool],
    ) -> Record:
        self.device.place(method)
        learners = learners_of(method, self.optimizers, self.max_grad_norm)
        folder = None if self.folder is None or name is None else RunFolder(self.folder / name)
        if folder is not None:
            if self.device.is_main:
                folder.begin(self._what_must_not_change(method, limits), fit_environment(self.device, self.seed))
            record = folder.record()
            if record is not None and not limits.allow_more(record):
                restore_weights(method, load_weights(folder.final))
                method.eval()
                return replace(record, reused=True)

        seed_everything(self.seed)
        log = Log(folder.log if folder and self.device.is_main else None, self.tensorboard)
        run = Run(method, Passes(feed), learners, limits, folder, log, self.device)
        run.continue_from_checkpoint()
        method.train()
        with run, run.bar(self.title or name, self.progress) as bar:
            while not run.stopped_by:  # one pass of the feed
                for batch in run.batches():
                    clock = run.clock()
                    with self.device.autocast():
                        losses = method.losses(self.device.move(batch), clock)
                    try:
                        norms = update(method, losses, learners, clock, self.device, getattr(batch, "weight", 1.0))
                    except NonFiniteLoss as error:
                        raise NonFiniteLoss(f"{error}; {run.last_checkpoint}") from None
                    method.after_update(clock)
                    run.count(losses, norms)
                    bar.update()
                    if run.stopped_by:
                        break
                    if run.at.step % self.log_every == 0:
                        bar.set_postfix(run.write_line())
                    if interrupted():
                        run.save()
                        raise KeyboardInterrupt
                    run.save_if_due(self.checkpoint_every)
                else:
                    run.end_epoch()
                if run.paused:
                    run.save()  # before the evaluation, so that a fit that is given more time does not know of it
                if evaluate is not None and run.evaluation_due():
                    run.evaluate(evaluate)
                bar.set_postfix(run.write_line())
                if not run.stopped_by:
                    run.save_if_due(self.checkpoint_every / 10)
            record = run.finish(name)
        if interrupted():  # too late to stop this fit, in time to stop what would follow
            raise KeyboardInterrupt
        return record

    def _what_must_not_change(self, method: Method, limits: Limits) -> dict[str, Any]:
        """What a continued fit is compared by."""
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
