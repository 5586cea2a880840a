"""Time, memory and disk of a training, estimated from a few steps on this machine before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.engine import Trainer
from mulde.engine.process import peak_memory
from mulde.engine.progress import duration
from mulde.kge.evaluation.link_prediction import evaluate
from mulde.kge.feeds import AnswerFeed, answer_feed, query_feed
from mulde.kge.training import supervised
from mulde.kge.training.method_file import new_model
from mulde.kge.training.optimizers import learning_rate, optimizer_of

STEPS = 3  # timed, after one that is not
SAMPLE = 500  # validation triples of the timed evaluation
FILES, CHECKPOINT = 3, 4  # copies of the tables on disk: best, final and saved model; more in the checkpoint meanwhile
BYTES_OF_PREDICTION = 6  # an int32 and a float16


@dataclass(frozen=True)
class Estimate:
    """What a training takes."""

    seconds: float
    """For all epochs; early stopping may end sooner."""
    memory: int | None
    """Bytes of the process at most; None where the system does not tell."""
    disk: int
    """Bytes of the run folders."""

    def text(self, budget: float | None) -> str:
        """The estimate in one line; ``budget``: seconds at most, or None."""
        time_ = f"{duration(self.seconds)} for all epochs, less with early stopping"
        if budget is not None and budget < self.seconds:
            time_ = f"{duration(budget)} by the budget"
        memory = "" if self.memory is None else f", {size(self.memory)} of memory"
        return f"about {time_}{memory}, {size(self.disk)} on disk"


def size(count: float) -> str:
    """A number of bytes in MB or GB."""
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def estimate(
    stages: Sequence[tuple[str, supervised.Config]],
    graph: TripleSet,
    known: KnownAnswers,
    parts: float = 1.0,
    predictions: int = 0,
) -> Estimate:
    """Train each stage for a few steps, and extrapolate.

    Parameters
    ----------
    stages
        Scorer and options of each training on hard labels.
    graph, known
        The data and the filter of the evaluation.
    parts
        Time of everything as a multiple of that of these stages.
    predictions
        Bytes of the cached teacher predictions, see `predictions_bytes`.
    """
    seconds, tables = 0.0, []
    for scorer, config in stages:
        spent, own = _stage(scorer, config, graph, known)
        seconds += spent
        tables.append(own)
    memory = peak_memory()
    return Estimate(
        seconds * parts,
        None if memory is None else memory + sum(tables),
        FILES * sum(tables) + CHECKPOINT * max(tables, default=0) + predictions,
    )


def predictions_bytes(config: Any, graph: TripleSet) -> int:
    """Bytes of the cached teacher predictions of a method; 0 for one that caches none."""
    if not hasattr(config, "teacher_cache"):
        return 0
    return answer_feed(graph, config.training).count * min(config.top_k, graph.num_entities) * BYTES_OF_PREDICTION


def _stage(scorer: str, config: supervised.Config, graph: TripleSet, known: KnownAnswers) -> tuple[float, int]:
    """Seconds of all epochs, and bytes of the tables."""
    model, training = new_model(scorer, config, graph), config.training
    setup = supervised.build(config, graph, {"student": model})
    feed = setup.feed or query_feed(graph, training)
    queries = feed.count if isinstance(feed, AnswerFeed) else 2 * len(graph.train)
    rate = learning_rate(training, len(graph.train))
    optimizer = optimizer_of(training, config.model, rate, isinstance(feed, AnswerFeed))
    model.use_sparse_gradients(training.sparse)
    trainer = Trainer(optimizers=optimizer, device=training.device, seed=training.seed, progress=False)
    moments = []
    for steps in (1, STEPS):
        begun = time.monotonic()
        trainer.fit(setup.method, feed, steps=steps)
        moments.append(time.monotonic() - begun)
    step = moments[1] / STEPS
    begun = time.monotonic()
    evaluate(model, graph, "valid", known, sample=SAMPLE, embeddings_only=True)
    evaluation = (time.monotonic() - begun) * max(1.0, len(graph.valid) / SAMPLE)
    tables = sum(each.numel() * each.element_size() for each in model.parameters())
    updates = queries / training.batch_size
    return training.epochs * (updates * step + evaluation / training.eval_every), tables
