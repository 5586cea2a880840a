"""The stages of the main job: train a model, distil a Junior, evaluate either.

A stage leaves a run folder: ``fit/`` as the engine writes it (config.json, log.jsonl, checkpoints), the model
(``saved.py``), and ``<split>.json`` for each evaluation. The same call again continues what was interrupted and reuses
what is finished; with other settings it is refused, and the difference is shown.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.config import convert
from mulde.engine import Clock, Method, OptimizerSpec, Record, Trainer
from mulde.engine.description import fingerprint
from mulde.errors import UsageError
from mulde.kge.answer_feed import AnswerFeed
from mulde.kge.assumption import learn_world
from mulde.kge.feeds import QueryFeed, ShuffledFeed
from mulde.kge.hard import HardLoss, predicts_relations
from mulde.kge.link_prediction import evaluate, known_answers
from mulde.kge.mulde import MulDE, MulDEConfig
from mulde.kge.offline import Offline, OfflineConfig
from mulde.kge.pretrain import Pretrain
from mulde.kge.saved import find_scorer, save_model, save_senior, scorer_name
from mulde.kge.teachers import open_teacher
from mulde.parts.answers import WrittenAnswers, open_answers, write_answers
from mulde.parts.teachers import Panel
from mulde.scorers.full_softmax import Products
from mulde.scorers.fusion import fuse, plain
from mulde.scorers.model import KGEModel, ModelConfig
from mulde.scorers.scorer import Scorer

C = TypeVar("C")
# Options that may differ when a training is continued.
FREE = ("answers", "device", "budget", "checkpoint_every", "tensorboard", "sparse")
LOOKED_AT = 500  # queries, at most, on which the attention is written into the log
METHODS = ("mulde", "average", "offline")
ENGINES = ("epochs", "seed")  # options that the engine compares by itself


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a model is fitted; the same for teachers and Juniors."""

    epochs: int = 100
    """Passes over the training triples, each asked in both directions."""
    batch_size: int = 500
    """Queries per update; under the loss 1vsall distinct queries, each with all its answers."""
    negatives: int = 50
    """Random corruptions per query."""
    corrupt: Literal["tail", "both"] = "tail"
    """What a corruption replaces: the tail, or head and tail at once (KGEmb's double_neg), which makes every corruption
    a query of its own and is several times as slow."""
    loss: HardLoss = "binary"
    """Loss on hard labels: binary cross entropy of each candidate (KGEmb, MulDE), softmax over the candidates, or
    1vsall: softmax over all entities, without corruptions; needs one curvature (--curvature global or fixed)."""
    products: Products = "float32"
    """Precision of what goes into the matrix products of the loss 1vsall; bfloat16 is about twice as fast."""
    n3: float = 0.0
    """Weight of the N3 regulariser, the mean of the cubed lengths of heads, relations and tails; with loss 1vsall."""
    relation_weight: float = 0.0
    """Weight of predicting the relation from head and tail as well; with loss 1vsall, without teachers, and by complex
    only; `mulde run` leaves it out where it does not hold."""
    optimizer: Literal["adam", "adagrad", "sgd", "radam", "riemannian-adam"] = "adam"
    """Which optimiser; radam is rectified Adam, riemannian-adam (geoopt) moves --entities manifold along the ball."""
    lr: float = 2e-3
    """Learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Course of the learning rate over the epochs: constant, or falling to zero in a line or along half a cosine."""
    every: int = 5
    """Epochs between two evaluations on the validation split."""
    patience: int = 10
    """Evaluations without a better validation MRR after which training stops."""
    seed: int = 0
    """Seed of initial weights, order and corruptions."""
    budget: str | None = None
    """Time after which training stops and the best weights are evaluated: 90s, 10m, 2h. A falling learning rate has
    fallen by then."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    checkpoint_every: float = 60.0
    """Seconds between two checkpoints, from which an interrupted training continues."""
    tensorboard: bool = False
    """Also write the log as TensorBoard event files."""
    sparse: bool = False
    """Update only the entities of a batch: for large graphs, with --optimizer adagrad, whose result is the same."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Fuse the small operations of a step with torch.compile; auto: in trainings of 30,000 steps or more."""

    def __post_init__(self) -> None:
        convert(self)
        for name in ("epochs", "batch_size", "negatives", "every", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not self.lr > 0:
            raise UsageError(f"lr must be positive; got {self.lr}")
        for name in ("n3", "relation_weight"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be 0 or more; got {getattr(self, name)}")
        for name, without in (("n3", 0), ("relation_weight", 0), ("products", "float32")):
            if self.loss != "1vsall" and getattr(self, name) != without:
                raise UsageError(
                    f"{name} belongs to the loss 1vsall; got loss {self.loss}; leave {name} at {without}, or "
                    "--loss 1vsall"
                )
        if self.budget is not None:
            seconds(self.budget)


@dataclass(frozen=True, kw_only=True)
class DistilConfig(FitConfig, ModelConfig, MulDEConfig):
    """A Junior: its shape, its fit, and how it is taught."""

    method: str = "mulde"
    """mulde: Senior with relation scaling and contrast attention. average: the same without both, the plain mean of the
    teachers' scores; with one teacher that is ordinary distillation. offline: the teachers are asked once, before the
    training, see --loss 1vsall; --top, --soft-weight and --temperature hold, the Senior's options do not. Or the path
    of a Python file of yours with a function build(junior, panel, config) that returns a Method, as in
    examples/my_own_method.py."""
    answers: Path | None = None
    """Folder for what the teachers answered (offline), made once, reused by every Junior; by default in the run
    folder."""

    def __post_init__(self) -> None:
        for base in (FitConfig, ModelConfig, MulDEConfig):
            base.__post_init__(self)
        if self.method not in METHODS and not self.method.endswith(".py"):
            raise UsageError(
                f"method should be {', '.join(METHODS)}, or the path of a Python file; got {self.method!r}"
            )
        if (self.method == "offline") != (self.loss == "1vsall"):
            raise UsageError(
                f"method offline and loss 1vsall go together; got method {self.method} and loss {self.loss}; give "
                "both, or neither"
            )
        if self.method == "offline" and self.asked != 1:
            raise UsageError(
                f"asked belongs to the methods mulde and average; got {self.asked} and method offline, whose teachers "
                "are asked once; leave asked at 1"
            )


Build = Callable[[KGEModel, Panel, DistilConfig], Method]
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
    _fuse_if_wanted(graph, fit)
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    _refuse_many_curvatures(kind, shape, fit)
    if fit.relation_weight and not predicts_relations(kind):
        raise UsageError(
            f"relation_weight needs a scorer that can predict relations, as complex can; got {scorer_name(kind)}; "
            "leave relation_weight at 0"
        )
    model = KGEModel(kind, graph.num_entities, graph.num_relations, shape, fit.seed).learn_loops(graph.train)
    settings = {"stage": "train", **_scorer(kind), "model": asdict(shape), **_settings(fit)}
    return _fit(
        Pretrain(model, fit.loss, fit.n3, fit.relation_weight, fit.products),
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
    """Distil teachers (run folders, bundles, or models in memory, see `Panel`) into a Junior; otherwise as `train`.

    ``build``: makes a method of your own in the place of MulDE.
    """
    if build is None and config.method.endswith(".py"):
        raise UsageError(
            f"method {config.method}: a file is read by `mulde distil`; from Python pass its build instead"
        )
    _fuse_if_wanted(graph, config)
    panel = Panel([teacher if isinstance(teacher, nn.Module) else open_teacher(teacher, graph) for teacher in teachers])
    shape = part(ModelConfig, config)
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    _refuse_many_curvatures(kind, shape, config)
    if config.relation_weight and build is None:
        raise UsageError(
            f"relation_weight belongs to training without teachers; got {config.relation_weight}; leave it at 0"
        )
    junior = KGEModel(kind, graph.num_entities, graph.num_relations, shape, config.seed).learn_loops(graph.train)
    settings = {"stage": "distil", **_scorer(kind), **_settings(config)}
    method: Method
    if build is not None:
        settings["method_source"] = _source(build)
        method = build(junior, panel, config)
        if not isinstance(method, Method):
            raise UsageError(f"build of {config.method} should return a mulde.Method; got {type(method).__name__}")
    elif config.method == "offline":
        written = config.answers or (None if folder is None else folder / "answers")
        answers = written_answers(panel, graph, config.top, written, progress)
        method = Offline(junior, answers, part(OfflineConfig, config))
        settings["teachers"] = answers.about["teachers"]  # they are no part of the method, as MulDE's are
    else:
        teaching = part(MulDEConfig, config)
        if config.method == "average":
            teaching = replace(teaching, scaling=False, attention=False)
        method = MulDE(junior, panel, teaching)
    return _fit(method, junior, graph, config, folder, settings, source, known, progress)


def seconds(duration: str) -> float:
    """A duration like 90s, 10m, 1.5h (a bare number counts seconds). Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", duration.strip())
    if not match:
        raise UsageError(f"budget: expected a duration such as 90s, 10m or 2h; got {duration!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def part(config_type: type[C], config: Any) -> C:
    """The fields of a larger configuration that make up a smaller one."""
    return config_type(**{field.name: getattr(config, field.name) for field in fields(config_type)})  # type: ignore[arg-type]


def _fuse_if_wanted(graph: TripleSet, fit: FitConfig) -> None:
    """Compile what a step is made of where it saves more than it costs, which is some 20 seconds.

    It saves about a millisecond a step, or two nanoseconds for each score of the loss over all entities.

    Raises UsageError where compiling was demanded and does not work.
    """
    plain()
    steps = 2 * len(graph.train) / fit.batch_size * fit.epochs
    saved = 1e-3 * steps if fit.loss != "1vsall" else 2e-9 * steps * fit.batch_size * graph.num_entities
    if fit.compile == "off" or (fit.compile == "auto" and saved < 30):
        return
    if not fuse() and fit.compile == "on":
        raise UsageError(
            "compile: torch.compile does not work here; is a C++ compiler there? --compile off does without"
        )


def written_answers(
    panel: Panel, graph: TripleSet, count: int, folder: Path | None, progress: bool | None = None
) -> WrittenAnswers:
    """What a panel answers to the training queries of a graph: opened where it was written before, else asked for."""
    about = {
        "teachers": [fingerprint(teacher) for teacher in panel.teachers], "data": graph.checksum, "top": count,
    }  # fmt: skip
    if folder is not None and (found := open_answers(folder, about)) is not None:
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
        return write_answers(panel, feed.heads, feed.relations, answers_of, count, folder, about, bar.update)


def _refuse_many_curvatures(scorer: type[Scorer], shape: ModelConfig, fit: FitConfig) -> None:
    if fit.loss == "1vsall" and scorer.hyperbolic() and shape.curvature == "per-relation":
        raise UsageError("loss 1vsall needs one curvature for all queries; give --curvature global or fixed")


@dataclass(frozen=True)
class _SparseAdagrad(OptimizerSpec):
    """Adagrad in the form that takes sparse gradients; a row without gradient stays as it is in either form."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        torch.sparse.check_sparse_tensor_invariants.disable()  # as by default, but without a warning at every start
        return torch.optim.Adagrad(parameters, lr=self.lr)


@dataclass(frozen=True)
class _RiemannianAdam(OptimizerSpec):
    """geoopt's Adam, which keeps manifold parameters on their manifold; Adam for all others."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        import geoopt  # only this optimiser needs it

        return geoopt.optim.RiemannianAdam(parameters, lr=self.lr)


def _optimizer(fit: FitConfig, shape: ModelConfig) -> OptimizerSpec:
    if fit.sparse and (fit.optimizer != "adagrad" or shape.entities == "manifold"):
        raise UsageError(
            f"sparse updates need the optimizer adagrad and tangent entities; got {fit.optimizer} and "
            f"{shape.entities}: other optimizers move every entity at every step"
        )
    if fit.sparse and fit.loss == "1vsall":
        raise UsageError(
            "sparse updates need a loss with corruptions; got 1vsall, which moves every entity at every step"
        )
    if fit.sparse:
        return _SparseAdagrad(name="adagrad", lr=fit.lr, schedule=fit.schedule)
    if fit.optimizer == "riemannian-adam":
        return _RiemannianAdam(lr=fit.lr, schedule=fit.schedule)
    if shape.entities == "manifold":
        raise UsageError(f"entities on the manifold need the optimizer riemannian-adam; got {fit.optimizer}")
    return OptimizerSpec(name=fit.optimizer, lr=fit.lr, schedule=fit.schedule)


def _settings(config: Any) -> dict[str, Any]:
    """What must not change when a fit is continued; where it computes and how long it may take may."""
    return {name: value for name, value in asdict(config).items() if name not in FREE + ENGINES}


def _scorer(kind: type[Scorer]) -> dict[str, Any]:
    """A scorer for the settings: its name and, where it is not one of the package's, what it is made of."""
    own = {} if kind.__module__.startswith("mulde.scorers.") else {"scorer_source": _source(kind)}
    return {"scorer": scorer_name(kind), **own}


def _source(written: type | Callable[..., Any]) -> str | None:
    """SHA-256, its first half, of a class's source or of the file of a function; None at a prompt, where there is none.

    A class of a script is not its file, whose other lines say what is done with it.
    """
    try:
        text = inspect.getsource(written if isinstance(written, type) else inspect.getmodule(written))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:32]


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
    model.sparse = fit.sparse

    def valid(_: Method, clock: Clock) -> dict[str, float]:
        metrics = evaluate(model, graph, "valid", known).metrics()
        return {f"valid/{name}": value for name, value in metrics.items()} | _attention(method, feed, clock)

    trainer = Trainer(
        folder=folder,
        optimizers=_optimizer(fit, model.config),
        device=fit.device,
        seed=fit.seed,
        checkpoint_every=fit.checkpoint_every,
        config={**settings, "data": {"name": graph.name, "checksum": graph.checksum}},
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
    record = trainer.fit(
        method,
        feed,
        epochs=fit.epochs,
        evaluate=valid,
        select=("valid/mrr", "max"),
        every=fit.every,
        patience=fit.patience,
        budget_seconds=None if fit.budget is None else seconds(fit.budget),
        name="fit",
    )
    if model.config.world == "closed":
        model.world = learn_world(model, graph, known)
    if folder is not None:
        save_model(folder, model, graph, source or graph.name)
        if isinstance(method, MulDE) and method.trains_senior:
            save_senior(folder, method.senior, method.panel.names)
    return Outcome(folder, model, record, method)
