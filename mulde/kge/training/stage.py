"""The stages of the main job: train a model, distil a Junior, evaluate either.

A stage leaves a run folder: ``fit/`` as the engine writes it (config.json, log.jsonl, checkpoints), the model
(``saved.py``), and ``<split>.json`` for each evaluation. The same call again continues what was interrupted and reuses
what is finished; with other settings it is refused, and the difference is shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.engine import Clock, Method, Record, Trainer
from mulde.engine.provenance import fingerprint
from mulde.errors import UsageError
from mulde.kge.evaluation.graph_prior_fit import fit_graph_prior
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.feeds import AnswerFeed, QueryFeed, ShuffledFeed
from mulde.kge.losses import predicts_relations
from mulde.kge.methods.mulde import MulDE, MulDEConfig
from mulde.kge.methods.offline import Offline, OfflineConfig
from mulde.kge.model.compilation import compilation
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.run_folder import find_scorer, save_model, scorer_name
from mulde.kge.teachers.cached_predictions import CachedPredictions, cache_predictions, open_cached_predictions
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.opening import open_teacher
from mulde.kge.teachers.senior import save_senior
from mulde.kge.training.optimizers import optimizer_of
from mulde.kge.training.options import (
    DistilConfig,
    FitConfig,
    compared,
    learning_rate,
    of_scorer,
    part,
    seconds,
    source_of,
)
from mulde.kge.training.supervised import Pretrain

LOOKED_AT = 500  # queries, at most, on which the attention is written into the log
Build = Callable[[KGEModel, Ensemble, DistilConfig], Method]
"""Junior, frozen teachers and settings -> a method that teaches the Junior."""


@dataclass(frozen=True)
class Outcome:
    """What a stage made."""

    folder: Path | None
    model: KGEModel
    record: Record
    method: Method


def train(
    scorer: str | type[Scorer],
    graph: TripleSet,
    fit: FitConfig,
    shape: ModelConfig,
    folder: Path | None,
    *,
    source: str = "",
    known: KnownAnswers | None = None,
    progress: bool | None = None,
) -> Outcome:
    """Train a scorer on hard labels: a teacher, or the Junior without distillation.

    ``scorer``: a name (`mulde list scorers`) or a class. ``folder``: where the run is kept; None writes nothing.
    ``source``: what the graph was loaded by, remembered for later evaluations.
    """
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    _refuse_many_curvatures(kind, shape, fit)
    if fit.relation_weight and not predicts_relations(kind):
        raise UsageError(
            f"relation_weight needs a scorer that can predict relations, as complex can; got {scorer_name(kind)}; "
            "leave relation_weight at 0"
        )
    model = _initial(kind, graph, shape, fit)
    settings = {"stage": "train", **of_scorer(kind), "model": asdict(shape), **compared(fit)}
    return _fit(
        Pretrain(model, fit.loss, fit.n3, fit.relation_weight, fit.matmul_precision),
        model,
        graph,
        fit,
        folder,
        settings,
        source,
        known,
        progress,
    )


def distil(
    scorer: str | type[Scorer],
    teachers: Sequence[Path | nn.Module],
    graph: TripleSet,
    config: DistilConfig,
    folder: Path | None,
    *,
    build: Build | None = None,
    source: str = "",
    known: KnownAnswers | None = None,
    progress: bool | None = None,
) -> Outcome:
    """Distil teachers (run folders, bundles, or models in memory, see `Ensemble`) into a Junior; otherwise as `train`.

    ``build``: makes a method of your own in the place of MulDE.
    """
    if build is None and config.method.endswith(".py"):
        raise UsageError(
            f"method {config.method}: a file is read by `mulde distil`; from Python pass its build instead"
        )
    ensemble = Ensemble(
        [teacher if isinstance(teacher, nn.Module) else open_teacher(teacher, graph) for teacher in teachers]
    )
    shape = part(ModelConfig, config)
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    _refuse_many_curvatures(kind, shape, config)
    if config.relation_weight and build is None:
        raise UsageError(
            f"relation_weight belongs to training without teachers; got {config.relation_weight}; leave it at 0"
        )
    junior = _initial(kind, graph, shape, config)
    settings = {"stage": "distil", **of_scorer(kind), **compared(config)}
    method: Method
    if build is not None:
        settings["method_source"] = source_of(build)
        method = build(junior, ensemble, config)
        if not isinstance(method, Method):
            raise UsageError(f"build of {config.method} should return a mulde.Method; got {type(method).__name__}")
    elif config.method == "offline":
        written = config.teacher_cache or (None if folder is None else folder / "answers")
        answers = cached_predictions(ensemble, graph, config.top_k, written, progress)
        method = Offline(junior, answers, part(OfflineConfig, config))
        settings["teachers"] = answers.about["teachers"]  # they are no part of the method, as MulDE's are
    else:
        teaching = part(MulDEConfig, config)
        if config.method == "average":
            teaching = replace(teaching, scaling=False, attention=False)
        method = MulDE(junior, ensemble, teaching)
        settings["asked"] = method.teacher_query_fraction  # whose default depends on the graph
    return _fit(method, junior, graph, config, folder, settings, source, known, progress)


def _initial(scorer: type[Scorer], graph: TripleSet, shape: ModelConfig, fit: FitConfig) -> KGEModel:
    size = graph.num_entities, graph.num_relations
    return KGEModel(scorer, *size, shape, fit.seed, sparse_gradients=fit.sparse).mask_self_loops(graph.train)


@contextmanager
def _compilation(graph: TripleSet, fit: FitConfig) -> Iterator[None]:
    """Use torch.compile when it saves more than its ~20 s cost.

    It saves about a millisecond a step, or two nanoseconds for each score of the loss over all entities on one thread.

    Raises UsageError where compilation was requested and does not work.
    """
    steps = 2 * len(graph.train) / fit.batch_size * fit.epochs
    saved = 1e-3 * steps if fit.loss != "1vsall" else 2e-9 * steps * fit.batch_size * graph.num_entities
    with compilation(fit.compile == "on" or (fit.compile == "auto" and saved >= 30)) as works:
        if fit.compile == "on" and not works:
            raise UsageError(
                "compile: torch.compile does not work here; is a C++ compiler there? --compile off does without"
            )
        yield


def cached_predictions(
    ensemble: Ensemble, graph: TripleSet, count: int, folder: Path | None, progress: bool | None = None
) -> CachedPredictions:
    """What an ensemble answers to the training queries of a graph: opened where it was written before, else asked for."""
    about = {
        "teachers": [fingerprint(teacher) for teacher in ensemble.teachers], "data": graph.checksum, "top": count,
    }  # fmt: skip
    if folder is not None and (found := open_cached_predictions(folder, about)) is not None:
        return found
    if int(os.environ.get("RANK", 0)):
        folder = None  # of several processes only the first one writes
    feed = AnswerFeed(graph, 1)

    def answers_of(index: Tensor) -> tuple[Tensor, Tensor]:
        batch = feed.batch(index)
        return batch.rows, batch.answers

    with tqdm(
        total=feed.count, desc="teachers answer", unit="query", disable=None if progress is None else not progress
    ) as bar:
        return cache_predictions(ensemble, feed.heads, feed.relations, answers_of, count, folder, about, bar.update)


def _refuse_many_curvatures(scorer: type[Scorer], shape: ModelConfig, fit: FitConfig) -> None:
    if fit.loss == "1vsall" and scorer.hyperbolic() and shape.curvature == "per-relation":
        raise UsageError("loss 1vsall needs one curvature for all queries; give --curvature global or fixed")


def _attention(method: Method, feed: ShuffledFeed, clock: Clock) -> dict[str, float]:
    """For the log: each teacher's mean weight in the Senior's attention, over queries spread evenly over training."""
    if not isinstance(method, MulDE) or not isinstance(feed, QueryFeed) or not method.config.attention:
        return {}
    some = torch.arange(0, feed.count, -(-feed.count // LOOKED_AT))
    heads, relations, _ = (ids.to(method.senior.weights.device) for ids in feed.queries(some))
    weights = method.attention(heads, relations, clock).mean(0).tolist()
    return {f"attention/{teacher}": weight for teacher, weight in enumerate(weights)}


def _fit(
    method: Method,
    model: KGEModel,
    graph: TripleSet,
    fit: FitConfig,
    folder: Path | None,
    settings: dict[str, Any],
    source: str,
    known: KnownAnswers | None,
    progress: bool | None,
) -> Outcome:
    known = known or known_answers(graph)

    def valid(_: Method, clock: Clock) -> dict[str, float]:
        metrics = evaluate(model, graph, "valid", known).metrics()
        return {f"valid/{name}": value for name, value in metrics.items()} | _attention(method, feed, clock)

    rate = learning_rate(fit, len(graph.train))
    trainer = Trainer(
        folder=folder,
        optimizers=optimizer_of(fit, model.config, rate),
        device=fit.device,
        seed=fit.seed,
        checkpoint_every=fit.checkpoint_every,
        config={**settings, "lr": rate, "data": {"name": graph.name, "checksum": graph.checksum}},
        tensorboard=fit.tensorboard,
        progress=progress,
        title=f"{settings['stage']} {settings['scorer']}",
    )
    wants_known = isinstance(method, MulDE) and method.config.mask_known
    place = trainer.device.rank, trainer.device.processes
    feed: ShuffledFeed
    if fit.loss == "1vsall":
        feed = AnswerFeed(graph, fit.batch_size, fit.seed, *place)
    else:
        feed = QueryFeed(graph, fit.batch_size, fit.negatives, fit.corrupt, fit.seed, wants_known, *place)
    with _compilation(graph, fit):
        record = trainer.fit(
            method,
            feed,
            epochs=fit.epochs,
            evaluate=valid,
            select=("valid/mrr", "max"),
            eval_every=fit.eval_every,
            patience=fit.patience,
            budget_seconds=None if fit.budget is None else seconds(fit.budget),
            name="fit",
        )
    if model.config.graph_prior:
        model.set_graph_prior(fit_graph_prior(model, graph, known))
    if folder is not None:
        save_model(folder, model, graph, source or graph.name)
        if isinstance(method, MulDE) and method.trains_senior:
            save_senior(folder, method.senior, method.ensemble.names)
    return Outcome(folder, model, record, method)
