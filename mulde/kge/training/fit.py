"""The session of a method on graphs: trains its stages in one folder, and reports how it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.config import flatten
from mulde.engine import Clock, Method, Record, Setup, Trainer, as_setup
from mulde.engine.progress import Progress, Report, silent
from mulde.errors import UsageError
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.feeds import AnswerFeed, query_feed
from mulde.kge.model.compilation import compilation
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import FREE, Training
from mulde.kge.training.nested import nested
from mulde.kge.training.optimizers import learning_rate, optimizer_of
from mulde.kge.training.supervised import Supervised

BY_THE_ENGINE = ("epochs", "seed")  # options that the engine compares by itself


@dataclass(frozen=True)
class Session:
    """Runs the fits of a method in one folder; finished fits are reused, interrupted ones continued."""

    graph: TripleSet
    student: KGEModel
    """Evaluated on the validation split where a setup brings no evaluation of its own."""
    known: KnownAnswers
    """Filter of the evaluation."""
    stage: str
    """Name of the stage in messages."""
    identity: Mapping[str, Any]
    """What must match on resume, besides the options of the fit and the data."""
    seed: int = 0
    folder: Path | None = None
    """Folder of the run; None writes nothing."""
    bar: bool | None = None
    """Show a progress bar; None: in terminals and notebooks only."""
    progress: Report = silent

    def report(self, text: str) -> None:
        """Pass a message to the person who started the run."""
        self.progress(Progress(self.stage, text))

    def fit(self, setup: Setup | Method, config: Any, *, name: str = "fit") -> Record:
        """Train one stage and leave the method with its best weights.

        Parameters
        ----------
        setup
            A method, or what `build` of its file returns.
        config
            Options: a `Training`, or a Config with a field ``training``. They must match on resume.
        name
            Folder of the fit inside the folder of the run.
        """
        setup = as_setup(setup)
        training: Training = config if isinstance(config, Training) else config.training
        feed = query_feed(self.graph, training) if setup.feed is None else setup.feed
        all_entities = isinstance(feed, AnswerFeed)
        rate = learning_rate(training, len(self.graph.train))
        self.student.use_sparse_gradients(training.sparse)
        if self.student.config.dims:
            setup = nested(setup, self.student, self._valid)
        trainer = Trainer(
            folder=self.folder,
            **training.additions.for_trainer(not isinstance(setup.method, Supervised)),
            optimizers=setup.optimizers or optimizer_of(training, self.student.config, rate, all_entities),
            device=training.device,
            seed=self.seed,
            checkpoint_every=training.checkpoint_every,
            config={
                **self.identity,
                **compared(config),
                "lr": rate,
                "data": {"name": self.graph.name, "checksum": self.graph.checksum},
            },
            tensorboard=training.tensorboard,
            progress=self.bar,
            title=self.stage,
        )
        with compilation_if_worthwhile(self.graph, training, all_entities):
            return trainer.fit(
                setup.method,
                feed,
                epochs=training.epochs,
                evaluate=self._reported(setup.evaluate or self.validate),
                select=("valid/mrr", "max"),
                eval_every=training.eval_every,
                patience=training.patience,
                budget_seconds=training.budget,
                name=name,
            )

    def validate(self, method: Method, clock: Clock) -> dict[str, float]:
        """Metrics of the student on the validation split, embeddings only."""
        return self._valid(self.student)

    def _valid(self, student: KGEModel) -> dict[str, float]:
        metrics = evaluate(student, self.graph, "valid", self.known, embeddings_only=True).metrics()
        return {f"valid/{name}": value for name, value in metrics.items()}

    def _reported(self, evaluate: Callable[[Method, Clock], Mapping[str, float]]) -> Any:
        def evaluated(method: Method, clock: Clock) -> Mapping[str, float]:
            metrics = evaluate(method, clock)
            self.progress(Progress(self.stage, "", clock.progress, metrics))
            return metrics

        return evaluated


def compared(config: Any) -> dict[str, Any]:
    """Options that must match on resume, by name."""
    return {name: value for name, value in flatten(config).items() if name not in FREE + BY_THE_ENGINE}


@contextmanager
def compilation_if_worthwhile(graph: TripleSet, training: Training, all_entities: bool) -> Iterator[None]:
    """Use torch.compile when it saves more than its ~20 s cost, or if the options require it.

    It saves about a millisecond a step, or two nanoseconds for each score of a loss over all entities on one thread.

    Raises
    ------
    UsageError
        Where compilation is required and does not work.
    """
    steps = 2 * len(graph.train) / training.batch_size * training.epochs
    saved = 2e-9 * steps * training.batch_size * graph.num_entities if all_entities else 1e-3 * steps
    with compilation(training.compile == "on" or (training.compile == "auto" and saved >= 30)) as works:
        if training.compile == "on" and not works:
            raise UsageError(
                "compile: torch.compile does not work here, perhaps for want of a C++ compiler; use --compile off"
            )
        yield
