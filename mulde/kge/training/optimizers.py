"""Optimizers of knowledge graph embeddings, and the default learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from mulde.engine import Clock, OptimizerSpec
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training

SMOOTHING = 0.1  # weight of "all epochs fit" in `expected_fraction`, as a fraction of the training


@dataclass(frozen=True)
class BudgetOptimizer(OptimizerSpec):
    """An optimizer whose learning rate is larger if a time budget is expected to end the training early.

    The default learning rate is proportional to 1/√(updates). If a fraction f of the planned epochs fits the budget, it
    is multiplied by 1/√f.
    """

    scale_to_budget: bool = False
    """Scale the learning rate so; False: it is that of the schedule."""
    largest_lr: float = math.inf
    """Upper bound on the scaled learning rate."""

    def rate(self, clock: Clock) -> float:
        """Factor of the learning rate at this moment."""
        factor = super().rate(clock)
        if self.scale_to_budget:
            factor *= max(1.0, min(self.largest_lr / self.lr, expected_fraction(clock) ** -0.5))
        return factor


def expected_fraction(clock: Clock) -> float:
    """Expected fraction of the planned epochs that fit the budget, extrapolated from the speed so far; starts at 1."""
    if clock.epochs is None:
        return 1.0
    done = (clock.epoch + clock.epoch_progress) / clock.epochs
    return 1.0 if clock.progress <= done + 1e-9 else (done + SMOOTHING) / (clock.progress + SMOOTHING)


@dataclass(frozen=True)
class _SparseAdagrad(BudgetOptimizer):
    """Adagrad in the form that takes sparse gradients; a row without gradient stays as it is in either form."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        torch.sparse.check_sparse_tensor_invariants.disable()  # the default, set to silence a warning at every start
        return torch.optim.Adagrad(parameters, lr=self.lr)


@dataclass(frozen=True)
class _RiemannianAdam(BudgetOptimizer):
    """geoopt's Adam, which keeps manifold parameters on their manifold; Adam for all others."""

    optimizer: Literal["riemannian-adam"] = "riemannian-adam"  # type: ignore[assignment]

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        import geoopt  # only this optimizer needs it

        return geoopt.optim.RiemannianAdam(parameters, lr=self.lr)


def learning_rate(training: Training, triples: int) -> float:
    """The learning rate of the options, or the default for the number of updates on so many training triples."""
    if training.lr is not None:
        return training.lr
    updates = training.epochs * 2 * triples / training.batch_size
    return min(largest_rate(training), (6 if training.optimizer == "adagrad" else 0.6) / updates**0.5)


def largest_rate(training: Training) -> float:
    """Upper bound on a learning rate that is not given."""
    return 0.2 if training.optimizer == "adagrad" else 0.02


def optimizer_of(training: Training, model: ModelConfig, lr: float, all_entities: bool) -> OptimizerSpec:
    """The optimizer of the options.

    Parameters
    ----------
    training, model
        Options.
    lr
        Learning rate at its highest point, see :func:`learning_rate`.
    all_entities
        Whether the loss compares all entities, so that every row has a gradient.

    Raises
    ------
    UsageError
        Where optimizer, sparse updates and parametrization do not go together.
    """
    if training.sparse and (training.optimizer != "adagrad" or model.parametrization == "manifold"):
        raise UsageError(
            f"sparse updates need the optimizer adagrad and tangent entities; got {training.optimizer} and "
            f"{model.parametrization}: other optimizers move every entity at every step"
        )
    if training.sparse and all_entities:
        raise UsageError(
            "sparse updates need a loss with corruptions; got one over all entities, which moves every entity at every "
            "step"
        )
    course: dict[str, Any] = {"lr": lr, "schedule": training.schedule}
    if training.lr is None:
        course |= {"scale_to_budget": True, "largest_lr": largest_rate(training)}
    if training.sparse:
        return _SparseAdagrad(optimizer="adagrad", **course)
    if training.optimizer == "riemannian-adam":
        return _RiemannianAdam(**course)
    if model.parametrization == "manifold":
        raise UsageError(f"entities on the manifold need the optimizer riemannian-adam; got {training.optimizer}")
    return BudgetOptimizer(optimizer=training.optimizer, **course)
