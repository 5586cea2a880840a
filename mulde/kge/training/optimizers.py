"""The optimisers of models, in numbers that can be written to a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mulde.engine import Clock, OptimizerSpec
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.training.options import FitConfig, largest_rate

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
    """Expected fraction of the planned epochs that fit the time budget, extrapolated from the speed so far; starts at 1."""
    if clock.epochs is None:
        return 1.0
    done = (clock.epoch + clock.epoch_progress) / clock.epochs
    return 1.0 if clock.progress <= done + 1e-9 else (done + SMOOTHING) / (clock.progress + SMOOTHING)


@dataclass(frozen=True)
class _SparseAdagrad(BudgetOptimizer):
    """Adagrad in the form that takes sparse gradients; a row without gradient stays as it is in either form."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        torch.sparse.check_sparse_tensor_invariants.disable()  # as by default, but without a warning at every start
        return torch.optim.Adagrad(parameters, lr=self.lr)


@dataclass(frozen=True)
class _RiemannianAdam(BudgetOptimizer):
    """geoopt's Adam, which keeps manifold parameters on their manifold; Adam for all others."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        import geoopt  # only this optimiser needs it

        return geoopt.optim.RiemannianAdam(parameters, lr=self.lr)


def optimizer_of(fit: FitConfig, shape: ModelConfig, lr: float) -> OptimizerSpec:
    if fit.sparse and (fit.optimizer != "adagrad" or shape.parametrization == "manifold"):
        raise UsageError(
            f"sparse updates need the optimizer adagrad and tangent entities; got {fit.optimizer} and "
            f"{shape.parametrization}: other optimizers move every entity at every step"
        )
    if fit.sparse and fit.loss == "1vsall":
        raise UsageError(
            "sparse updates need a loss with corruptions; got 1vsall, which moves every entity at every step"
        )
    course: dict[str, Any] = {"lr": lr, "schedule": fit.schedule}
    if fit.lr is None:
        course |= {"scale_to_budget": True, "largest_lr": largest_rate(fit)}
    if fit.sparse:
        return _SparseAdagrad(name="adagrad", **course)
    if fit.optimizer == "riemannian-adam":
        return _RiemannianAdam(**course)
    if shape.parametrization == "manifold":
        raise UsageError(f"entities on the manifold need the optimizer riemannian-adam; got {fit.optimizer}")
    return BudgetOptimizer(name=fit.optimizer, **course)
