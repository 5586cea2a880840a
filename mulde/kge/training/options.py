"""What can be said of a training: the options of `mulde train` and `distil`, and which of them make a training another.

A configuration is a frozen dataclass. The command line makes its options, defaults and help of the fields; bad values
are refused when it is made.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from mulde.config import convert
from mulde.errors import UsageError
from mulde.kge.methods.mulde import MulDEConfig
from mulde.kge.model.config import HardLoss, MatmulPrecision, ModelConfig
from mulde.kge.model.scorer import Scorer
from mulde.kge.storage.run_folder import scorer_name

C = TypeVar("C")
# Options that may differ when a training is continued.
FREE = ("teacher_cache", "device", "budget", "checkpoint_every", "tensorboard", "sparse")
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
    matmul_precision: MatmulPrecision = "float32"
    """Precision of what goes into the matrix products of the loss 1vsall; bfloat16 lets torch round it where that is
    faster, on processors with matrix units, and changes nothing elsewhere."""
    n3: float = 0.0
    """Weight of the N3 regulariser, the mean of the cubed lengths of heads, relations and tails; with loss 1vsall."""
    relation_weight: float = 0.0
    """Weight of predicting the relation from head and tail as well; with loss 1vsall, without teachers, and by complex
    only; `mulde run` leaves it out where it does not hold."""
    optimizer: Literal["adam", "adagrad", "sgd", "radam", "riemannian-adam"] = "adam"
    """Which optimiser; radam is rectified Adam, riemannian-adam (geoopt) moves --parametrization manifold along the ball."""
    lr: float | None = None
    """Learning rate; by default 0.6/√(updates), those of all epochs or those that a budget seems to leave time for, at
    most 0.02, and ten times that with adagrad: the fewer updates there are, the larger each has to be. Presets may
    have their own."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Course of the learning rate over the epochs: constant, or falling to zero in a line or along half a cosine."""
    eval_every: int = 5
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
        for name in ("epochs", "batch_size", "negatives", "eval_every", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.lr is not None and not self.lr > 0:
            raise UsageError(f"lr must be positive; got {self.lr}")
        for name in ("n3", "relation_weight"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be 0 or more; got {getattr(self, name)}")
        for name, without in (("n3", 0), ("relation_weight", 0), ("matmul_precision", "float32")):
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
    of a Python file of yours with a function build(junior, ensemble, config) that returns a Method, as in
    examples/my_own_method.py."""
    teacher_cache: Path | None = None
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
        if self.method == "offline" and self.teacher_query_fraction not in (None, 1):
            raise UsageError(
                f"teacher_query_fraction belongs to the methods mulde and average; got {self.teacher_query_fraction} and method offline, whose teachers "
                "are asked once; leave it out"
            )


def learning_rate(fit: FitConfig, triples: int) -> float:
    """That of the settings, or the one for as many updates as they make on so many training triples."""
    if fit.lr is not None:
        return fit.lr
    updates = fit.epochs * 2 * triples / fit.batch_size
    return min(largest_rate(fit), (6 if fit.optimizer == "adagrad" else 0.6) / updates**0.5)


def largest_rate(fit: FitConfig) -> float:
    """What no learning rate exceeds that nobody gave."""
    return 0.2 if fit.optimizer == "adagrad" else 0.02


def seconds(duration: str) -> float:
    """A duration like 90s, 10m, 1.5h (a bare number counts seconds). Raises UsageError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", duration.strip())
    if not match:
        raise UsageError(f"budget: expected a duration such as 90s, 10m or 2h; got {duration!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def part(config_type: type[C], config: Any) -> C:
    """The fields of a larger configuration that make up a smaller one."""
    return config_type(**{field.name: getattr(config, field.name) for field in fields(config_type)})  # type: ignore[arg-type]


def compared(config: Any) -> dict[str, Any]:
    """What must not change when a fit is continued; where it computes and how long it may take may."""
    return {name: value for name, value in asdict(config).items() if name not in FREE + ENGINES}


def of_scorer(kind: type[Scorer]) -> dict[str, Any]:
    """A scorer for the settings: its name and, where it is not one of the package's, what it is made of."""
    own = {} if kind.__module__.startswith("mulde.kge.scorers.") else {"scorer_source": source_of(kind)}
    return {"scorer": scorer_name(kind), **own}


def source_of(written: type | Callable[..., Any]) -> str | None:
    """SHA-256, its first half, of a class's source or of the file of a function; None at a prompt, where there is none.

    A class of a script is not its file, whose other lines say what is done with it.
    """
    try:
        text = inspect.getsource(written if isinstance(written, type) else inspect.getmodule(written))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:32]
