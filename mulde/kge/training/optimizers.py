"""The optimisers of models, in numbers that can be written to a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mulde.engine import OptimizerSpec
from mulde.errors import UsageError
from mulde.kge.model.config import ModelConfig
from mulde.kge.training.options import FitConfig, largest_rate


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
        course |= {"for_all_epochs": True, "limit": largest_rate(fit)}
    if fit.sparse:
        return _SparseAdagrad(name="adagrad", **course)
    if fit.optimizer == "riemannian-adam":
        return _RiemannianAdam(**course)
    if shape.parametrization == "manifold":
        raise UsageError(f"entities on the manifold need the optimizer riemannian-adam; got {fit.optimizer}")
    return OptimizerSpec(name=fit.optimizer, **course)
