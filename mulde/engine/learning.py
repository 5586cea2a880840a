"""Learners: named sets of parameters, each with an optimiser, a learning rate over time and a clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from mulde.engine.clock import Clock, Schedule, constant, cosine, expected_share, linear, step_decay
from mulde.engine.method import Method
from mulde.engine.optimizers import LARS

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]
"""Anything that makes an optimiser for a list of parameters.
If it has a `rate`, a `Schedule`, the trainer multiplies the learning rates by it at every step."""


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimiser of torch, or LARS, and the course of its learning rate, in numbers that can be written to a file."""

    name: Literal["adam", "adamw", "adagrad", "sgd", "radam", "lars"] = "adam"
    """Which optimiser."""
    lr: float = 1e-3
    """Learning rate at its highest point."""
    weight_decay: float = 0.0
    """Weight decay: decoupled in adamw, an L2 penalty in the others."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the two moments; adam, adamw and radam."""
    momentum: float = 0.0
    """Momentum; sgd and lars."""
    nesterov: bool = False
    """Whether the momentum looks ahead; sgd only."""
    schedule: Literal["constant", "linear", "cosine", "step"] = "constant"
    """How the learning rate falls after the warm-up: not, in a line, along half a cosine, or in steps."""
    final_fraction: float = 0.0
    """Share of the learning rate that is left at the end; linear and cosine."""
    step_epochs: int = 30
    """Epochs between two falls; step."""
    step_factor: float = 0.1
    """What each fall multiplies the learning rate by; step."""
    warmup_epochs: float = 0.0
    """Epochs over which the learning rate first rises from 0, step by step, on top of the schedule."""
    for_all_epochs: bool = False
    """Whether ``lr`` is meant for all epochs: where a budget leaves time for a share of them, rates are larger by one
    over the root of that share."""
    limit: float = math.inf
    """What that may not make a learning rate larger than."""

    def __call__(self, parameters: list[nn.Parameter]) -> Optimizer:
        """The optimiser for these parameters, in torch's fused form where it exists."""
        shared: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay}
        fused = {"fused": True} if _can_fuse(parameters) else {}
        match self.name:
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
        raise ValueError(f'no optimiser called "{self.name}"; choose adam, adamw, adagrad, sgd, radam or lars')

    def rate(self, clock: Clock) -> float:
        """What the learning rate is multiplied by at this moment."""
        factor = self._schedule()(clock)
        if self.warmup_epochs:
            factor *= linear(0.0, 1.0, epochs=self.warmup_epochs)(clock)
        if self.for_all_epochs:
            factor *= max(1.0, min(self.limit / self.lr, expected_share(clock) ** -0.5))
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
        raise ValueError(f'no schedule called "{self.schedule}"; choose constant, linear, cosine or step')


@dataclass
class Learner:
    """One learner while it is trained."""

    name: str
    parameters: list[nn.Parameter]
    optimizer: Optimizer
    rate: Schedule | None = None
    max_grad_norm: float | None = None
    highest: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.highest = [group["lr"] for group in self.optimizer.param_groups]

    def forget_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def clip_gradients(self) -> torch.Tensor | None:
        """Shortens the gradient to the clip; answers with its norm before, or None without a clip."""
        return None if self.max_grad_norm is None else nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)

    def step(self, clock: Clock) -> None:
        """One update at this moment's learning rate."""
        if self.rate is not None:
            factor = self.rate(clock)
            for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
                group["lr"] = highest * factor
        self.optimizer.step()

    @property
    def learning_rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])


def learners_of(
    method: Method,
    optimizers: OptimizerFactory | Mapping[str, OptimizerFactory],
    max_grad_norm: float | Mapping[str, float] | None,
) -> dict[str, Learner]:
    """The method's learners with their optimisers.

    Raises ValueError where names do not match, a learner has nothing to learn, or two share a parameter.
    """
    parameters = {
        name: [parameter for parameter in given if parameter.requires_grad] for name, given in method.learners().items()
    }
    known = ", ".join(parameters)
    for what, names in (
        ("optimizers", optimizers if isinstance(optimizers, Mapping) else ()),
        ("max_grad_norm", max_grad_norm if isinstance(max_grad_norm, Mapping) else ()),
        (
            "cross_terms",
            [name for term, name in method.cross_terms] + [term.split("/")[0] for term, name in method.cross_terms],
        ),
    ):
        for name in names:
            if name not in parameters:
                raise ValueError(f'{what}: no learner called "{name}"; this method\'s learners are {known}')
    owner: dict[nn.Parameter, str] = {}
    for name, own in parameters.items():
        if not own:
            raise ValueError(f'learner "{name}" has no parameter that requires a gradient; leave it out of learners()')
        for parameter in own:
            if parameter in owner:
                raise ValueError(
                    f'a parameter of shape {tuple(parameter.shape)} is in learner "{owner[parameter]}" and '
                    f'again in learner "{name}"; each parameter belongs to one learner, once'
                )
            owner[parameter] = name
    learners = {}
    for name, own in parameters.items():
        factory = optimizers.get(name) if isinstance(optimizers, Mapping) else optimizers
        if factory is None:
            raise ValueError(f'optimizers: none for learner "{name}"; this method\'s learners are {known}')
        limit = max_grad_norm.get(name) if isinstance(max_grad_norm, Mapping) else max_grad_norm
        learners[name] = Learner(name, own, factory(own), getattr(factory, "rate", None), limit)
    return learners


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
