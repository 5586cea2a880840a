"""Options that the methods on graphs share. Imports no torch, so that the command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mulde.additions import Additions
from mulde.config import Count, Duration, NonNegative, Positive, Size, Whole, convert
from mulde.errors import UsageError
from mulde.kge.model.config import HardLoss, ModelConfig

FREE = ("teacher_cache", "device", "budget", "checkpoint_every", "tensorboard", "sparse")
"""Options that may differ when a training is continued."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Training, the same for teachers and Juniors."""

    epochs: Count = 100
    """Passes over the training triples; each triple is a tail query and a head query."""
    batch_size: Count = 500
    """Queries per update; with a loss over all entities, distinct queries with all their answers."""
    negatives: Count = 50
    """Random corruptions per query."""
    corrupt: Literal["tail", "both"] = "tail"
    """What a corruption replaces: the tail, or head and tail at once (KGEmb's double_neg), which needs a query point
    per corruption and is several times as slow."""
    optimizer: Literal["adam", "adagrad", "sgd", "radam", "riemannian-adam"] = "adam"
    """Optimizer; radam is rectified Adam, riemannian-adam (geoopt) is for --parametrization manifold."""
    lr: Positive | None = None
    """Learning rate. Default: 0.6/√n, at most 0.02, and ten times that with adagrad; n is the number of updates in all
    epochs, or in those that fit the budget. Presets may set another value."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """Learning rate schedule: constant, linear decay to zero, or cosine decay to zero."""
    eval_every: Count = 5
    """Epochs between two evaluations on the validation split."""
    patience: Count = 10
    """Early stopping: number of evaluations without a better validation MRR."""
    seed: Whole = 0
    """Seed of initial weights, order and corruptions."""
    budget: Duration | None = None
    """Limit of the training time, for example 90s, 10m or 2h; the best weights are then evaluated. The learning rate
    schedule ends with the budget."""
    device: str = "auto"
    """Device: auto (cuda if there is one, otherwise cpu), cpu, cuda, cuda:1, mps."""
    checkpoint_every: NonNegative = 60.0
    """Seconds between two checkpoints, from which an interrupted training continues."""
    additions: Additions = field(default_factory=Additions)
    """Averages, cycles and update rules."""
    tensorboard: bool = False
    """Also write the log as TensorBoard event files."""
    sparse: bool = False
    """Update only the entities of a batch: for large graphs, with --optimizer adagrad. The result is the same."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Use torch.compile. auto: when it saves more than its ~20 s cost."""

    def __post_init__(self) -> None:
        convert(self)


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Options of a method in a file that has no Config of its own."""

    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)
    soft_weight: NonNegative = 0.5
    """Weight of the soft loss."""
    temperature: Positive = 1.0
    """Temperature of the soft loss."""


@dataclass(frozen=True, kw_only=True)
class Teachers:
    """Teachers and baseline."""

    teacher: tuple[str, ...] = ("roth", "refh")
    """Scoring function of a teacher; repeat the option for several teachers. A repeated name is trained again with
    another seed. The default is two of the paper's four teachers; the other two are weak on most graphs and make the
    Junior worse (`results/small_graphs`). --preset paper has all four."""
    teacher_dim: Size = 64
    """Dimension of the teachers."""
    teacher_n3: NonNegative | None = None
    """Weight of the N3 regulariser of the teachers. Default: as for the Junior."""
    teacher_epochs: Count | None = None
    """Passes over the training triples for each teacher; default: as for the Junior."""
    parallel: Size = 1
    """Number of teachers trained at the same time, each in its own process. They share the processor threads; with
    --device cuda they are distributed over the GPUs."""
    baseline: bool = True
    """Also train the same Junior without distillation, for comparison."""

    def __post_init__(self) -> None:
        convert(self)
        if not self.teacher:
            raise UsageError("run needs at least one teacher; got none; pass --teacher NAME for each")


def refuse_all_entities(loss: HardLoss) -> None:
    """Raises UsageError where a method with random corruptions is given the loss over all entities."""
    if loss == "1vsall":
        raise UsageError(
            "loss should be binary or cross-entropy with this method, which uses random corruptions; got 1vsall, which "
            "compares all entities"
        )
