"""Optimizers: `OptimizerSpec`, which describes one by plain values, and LARS, which torch does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mulde.engine.clock import Clock, Schedule, constant, cosine, linear, step_decay
from mulde.errors import UsageError


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer and its learning rate schedule."""

    optimizer: Literal["adam", "adamw", "adagrad", "sgd", "radam", "lars"] = "adam"
    """Name of the optimizer."""
    lr: float = 1e-3
    """Highest learning rate."""
    weight_decay: float = 0.0
    """Weight decay: decoupled in adamw, an L2 penalty in the others."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the two moments; adam, adamw and radam."""
    momentum: float = 0.0
    """Momentum; sgd and lars."""
    nesterov: bool = False
    """Use Nesterov momentum; sgd only."""
    schedule: Literal["constant", "linear", "cosine", "step"] = "constant"
    """Learning rate after the warm-up: constant, linear decay, cosine decay, or step decay."""
    final_fraction: float = 0.0
    """Final learning rate as a fraction of the highest; linear and cosine."""
    step_epochs: int = 30
    """Epochs between two decays; step."""
    step_factor: float = 0.1
    """Factor of each decay; step."""
    warmup_epochs: float = 0.0
    """Epochs of linear warm-up from 0; the warm-up multiplies the schedule."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise UsageError(f"lr must be above 0; got {self.lr}")
        for name in ("weight_decay", "momentum", "final_fraction", "step_factor", "warmup_epochs"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must be at least 0; got {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"betas must be at least 0 and below 1; got {', '.join(map(str, self.betas))}")
        if self.step_epochs < 1:
            raise UsageError(f"step_epochs must be at least 1; got {self.step_epochs}")

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        """The optimizer for these parameters, in torch's fused form where it exists."""
        shared: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        fused = {"fused": True} if _can_fuse(parameters) else {}
        match self.optimizer:
            case "adam":
                return torch.optim.Adam(parameters, betas=self.betas, **shared, **fused)
            case "adamw":
                return torch.optim.AdamW(parameters, betas=self.betas, **shared, **fused)
            case "adagrad":
                return torch.optim.Adagrad(parameters, **shared, **fused)
            case "sgd":
                return torch.optim.SGD(parameters, momentum=self.momentum, nesterov=self.nesterov, **shared, **fused)
            case "radam":
                return torch.optim.RAdam(parameters, betas=self.betas, **shared)
            case "lars":
                return LARS(parameters, momentum=self.momentum, **shared)
        raise UsageError(f'no optimizer called "{self.optimizer}"; choose adam, adamw, adagrad, sgd, radam or lars')

    def rate(self, clock: Clock) -> float:
        """Factor of the learning rate at this moment."""
        factor = self._schedule()(clock)
        if self.warmup_epochs:
            factor *= linear(0.0, 1.0, epochs=self.warmup_epochs)(clock)
        return factor

    def _schedule(self) -> Schedule:
        match self.schedule:
            case "constant":
                return constant(1.0)
            case "linear":
                return linear(1.0, self.final_fraction)
            case "cosine":
                return cosine(1.0, self.final_fraction)
            case "step":
                return step_decay(1.0, self.step_factor, self.step_epochs)
        raise UsageError(f'no schedule called "{self.schedule}"; choose constant, linear, cosine or step')


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)


class LARS(Optimizer):
    """SGD whose steps are proportional to the weights of each layer, for very large batches.

    v ← μ v + η r (g + λ w), w ← w - v, with r = trust · ‖w‖ / ‖g + λ w‖ (You et al. 2017). Vectors and scalars (biases,
    normalizations) have r = 1 and no weight decay, as in SimCLR's code. A matrix that begins at zero has r = 1 too, in
    all steps, because its first steps would set its length for good; SimCLR's code excludes its new classifier by name.

    Parameters
    ----------
    parameters
        What to optimize.
    lr
        Learning rate η.
    momentum
        Momentum μ.
    weight_decay
        Weight decay λ.
    trust
        Length of a step relative to the weights, at η = 1.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update; a closure is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                change: Tensor = parameter.grad
                state = self.state[parameter]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(parameter)
                    state["adapted"] = parameter.any().to(parameter)  # a float, like all state of torch's optimizers
                if parameter.ndim > 1:
                    change = change + group["weight_decay"] * parameter
                    size, length = parameter.norm(), change.norm()
                    ratio = group["trust"] * size / length
                    change = change * torch.where((state["adapted"] > 0) & (size > 0) & (length > 0), ratio, 1.0)
                velocity = state["velocity"].mul_(group["momentum"]).add_(change, alpha=group["lr"])
                parameter.sub_(velocity)
        return None
