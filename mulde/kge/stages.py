"""The stages of the main job: train a model, distil a Junior, evaluate either.

A stage leaves a run folder: ``fit/`` as the engine writes it (config.json, log.jsonl, checkpoints), the model
(``saved.py``), and ``<split>.json`` for each evaluation. The same call again continues what was interrupted and reuses
what is finished; with other settings it is refused, and the difference is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import nn
from torch.optim import Optimizer

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.engine import Clock, Method, OptimizerSpec, Record, Trainer
from mulde.errors import UsageError
from mulde.files import write_atomically
from mulde.kge.feeds import QueryFeed
from mulde.kge.hard import HardLoss
from mulde.kge.link_prediction import Ranker, evaluate, known_answers
from mulde.kge.mulde import MulDE, MulDEConfig
from mulde.kge.pretrain import Pretrain
from mulde.kge.saved import find_scorer, open_model, save_model, save_senior, scorer_name
from mulde.parts.teachers import Panel
from mulde.scorers.model import KGEModel, ModelConfig
from mulde.scorers.scorer import Scorer
from mulde.scorers.tails import fuse

C = TypeVar("C")
FREE = ("device", "budget", "checkpoint_every", "tensorboard")  # options that may differ when a training is continued
LOOKED_AT = 500  # queries, at most, on which the attention is written into the log
ENGINES = ("epochs", "seed")  # options that the engine compares by itself


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a model is fitted; the same for teachers and Juniors."""

    epochs: int = 100
    """Passes over the training triples, each asked in both directions."""
    batch_size: int = 500
    """Queries per update."""
    negatives: int = 50
    """Random corruptions per query."""
    corrupt: Literal["tail", "both"] = "tail"
    """What a corruption replaces: the tail, or head and tail at once (KGEmb's double_neg)."""
    loss: HardLoss = "binary"
    """Loss on hard labels: binary cross entropy of each candidate (KGEmb, MulDE), or softmax over the candidates."""
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
    """Time after which training stops and the best weights are evaluated: 90s, 10m, 2h."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1."""
    checkpoint_every: float = 60.0
    """Seconds between two checkpoints, from which an interrupted training continues."""
    tensorboard: bool = False
    """Also write the log as TensorBoard event files."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Fuse the scoring of all entities with torch.compile; auto: where a compiler is found and the work is worth it."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "negatives", "every", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not self.lr > 0:
            raise UsageError(f"lr must be positive; got {self.lr}")
        if self.budget is not None:
            seconds(self.budget)


@dataclass(frozen=True, kw_only=True)
class DistilConfig(FitConfig, ModelConfig, MulDEConfig):
    """A Junior: its shape, its fit, and how it is taught."""

    method: str = "mulde"
    """mulde: Senior with relation scaling and contrast attention. average: the same without both, the plain mean of the
    teachers' scores; with one teacher that is ordinary distillation. Or the path of a Python file of yours with a
    function build(junior, panel, config) that returns a Method, as in examples/my_own_method.py."""

    def __post_init__(self) -> None:
        for base in (FitConfig, ModelConfig, MulDEConfig):
            base.__post_init__(self)
        if self.method not in ("mulde", "average") and not self.method.endswith(".py"):
            raise UsageError(f"method should be mulde, average, or the path of a Python file; got {self.method!r}")


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
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    model = KGEModel(kind, graph.num_entities, graph.num_relations, shape, fit.seed)
    settings = {"stage": "train", "scorer": scorer_name(kind), "model": asdict(shape), **_settings(fit)}
    return _fit(Pretrain(model, fit.loss), model, graph, fit, folder, settings, source, known, progress)


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
    """Distil teachers, each a run folder or a model in memory (see `Panel`), into a Junior; the rest as for `train`.

    ``build``: makes a method of your own in the place of MulDE.
    """
    if build is None and config.method.endswith(".py"):
        raise UsageError(
            f"method {config.method}: a file is read by `mulde distil`; from Python pass its build instead"
        )
    _fuse_if_wanted(graph, config, folder)
    panel = Panel([teacher if isinstance(teacher, nn.Module) else open_model(teacher, graph) for teacher in teachers])
    shape = part(ModelConfig, config)
    kind = scorer if isinstance(scorer, type) else find_scorer(scorer)
    junior = KGEModel(kind, graph.num_entities, graph.num_relations, shape, config.seed)
    teaching = part(MulDEConfig, config)
    if config.method == "average":
        teaching = replace(teaching, scaling=False, attention=False)
    method = MulDE(junior, panel, teaching) if build is None else build(junior, panel, config)
    settings = {"stage": "distil", "scorer": scorer_name(kind), **_settings(config)}
    return _fit(method, junior, graph, config, folder, settings, source, known, progress)


def judge(
    ranker: Ranker,
    graph: TripleSet,
    folder: Path,
    split: str,
    known: KnownAnswers | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Evaluate on a split and write ``<name or split>.json`` into the folder; returns its content."""
    report = evaluate(ranker, graph, split, known).report()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{name or split}.json", json.dumps(report, indent=2, ensure_ascii=False).encode())
    return report


def seconds(duration: str) -> float:
    """A duration like 90s, 10m, 1.5h (a bare number counts seconds). Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", duration.strip())
    if not match:
        raise UsageError(f"budget: expected a duration such as 90s, 10m or 2h; got {duration!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def part(config_type: type[C], config: Any) -> C:
    """The fields of a larger configuration that make up a smaller one."""
    return config_type(**{field.name: getattr(config, field.name) for field in fields(config_type)})  # type: ignore[arg-type]


def _fuse_if_wanted(graph: TripleSet, config: DistilConfig, folder: Path | None) -> None:
    """Compile the scoring where it saves more than it costs: about 3 ns for each entity scored, against ten seconds.

    Raises UsageError where compiling was demanded and does not work.
    """
    scored = 2 * len(graph.train) * graph.num_entities * config.epochs * config.asked
    finished = folder is not None and (folder / "fit/record.json").exists()
    if config.compile == "off" or finished or (config.compile == "auto" and scored < 1e10):
        return
    if not fuse() and config.compile == "on":
        raise UsageError(
            "compile: torch.compile does not work here; is a C++ compiler there? --compile off does without"
        )


@dataclass(frozen=True)
class _RiemannianAdam(OptimizerSpec):
    """geoopt's Adam, which keeps manifold parameters on their manifold; Adam for all others."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        import geoopt  # only this optimiser needs it

        return geoopt.optim.RiemannianAdam(parameters, lr=self.lr)


def _optimizer(fit: FitConfig, shape: ModelConfig) -> OptimizerSpec:
    if fit.optimizer == "riemannian-adam":
        return _RiemannianAdam(lr=fit.lr, schedule=fit.schedule)
    if shape.entities == "manifold":
        raise UsageError(f"entities on the manifold need the optimizer riemannian-adam; got {fit.optimizer}")
    return OptimizerSpec(name=fit.optimizer, lr=fit.lr, schedule=fit.schedule)


def _settings(config: Any) -> dict[str, Any]:
    """What must not change when a fit is continued; where it computes and how long it may take may."""
    return {name: value for name, value in asdict(config).items() if name not in FREE + ENGINES}


def _attention(method: Method, feed: QueryFeed, clock: Clock) -> dict[str, float]:
    """For the log: each teacher's mean weight in the Senior's attention, over queries spread evenly over training."""
    if not isinstance(method, MulDE) or not method.config.attention:
        return {}
    some = feed.queries[:: -(-len(feed.queries) // LOOKED_AT)].to(method.senior.weights.device)
    weights = method.attention(some[:, 0], some[:, 1], clock).mean(0).tolist()
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
    feed = QueryFeed(graph, fit.batch_size, fit.negatives, fit.corrupt, fit.seed)
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
    if folder is not None:
        save_model(folder, model, graph, source or graph.name)
        if isinstance(method, MulDE) and method.trains_senior:
            save_senior(folder, method.senior, method.panel.names)
    return Outcome(folder, model, record, method)
