"""Learners: named sets of parameters, each with its optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from mulde.engine.clock import Clock, Schedule
from mulde.engine.method import Method
from mulde.errors import UsageError

OptimizerFactory = Callable[[list[nn.Parameter]], Optimizer]
"""Makes an optimizer for a list of parameters. It may be `Scheduled`."""


@runtime_checkable
class Scheduled(Protocol):
    """An optimizer factory with a schedule of the learning rate, as `OptimizerSpec`."""

    def rate(self, clock: Clock) -> float:
        """Factor of the learning rates at this moment."""


@dataclass
class Learner:
    """One learner during a fit."""

    name: str
    """Its name in `Method.learners`."""
    parameters: list[nn.Parameter]
    """What it learns."""
    optimizer: Optimizer
    """Its optimizer."""
    rate: Schedule | None = None
    """Factor of its learning rates over time."""
    max_grad_norm: float | None = None
    """Upper bound on the norm of its gradient."""
    max_grad_value: float | None = None
    """Upper bound on the absolute value of each entry of its gradient; applied before the norm is bounded."""
    rate_factors: dict[str, float] = field(default_factory=dict)
    """Factors of the learning rates that callbacks have set, by name."""
    highest: list[float] = field(init=False)
    """Learning rate of each parameter group at factor 1."""

    def __post_init__(self) -> None:
        self.highest = [group["lr"] for group in self.optimizer.param_groups]

    def forget_gradients(self) -> None:
        """Remove the gradients of the last step."""
        for parameter in self.parameters:
            parameter.grad = None

    def clip_gradients(self) -> torch.Tensor | None:
        """Clip each entry to `max_grad_value`, then scale the gradient down to `max_grad_norm`.

        Returns the norm before scaling, or None without a bound on it.
        """
        if self.max_grad_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.max_grad_value)
        return None if self.max_grad_norm is None else nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)

    def step(self, clock: Clock) -> None:
        """One update at this moment's learning rate."""
        if self.rate is not None or self.rate_factors:
            factor = 1.0 if self.rate is None else self.rate(clock)
            factor *= math.prod(self.rate_factors.values())
            for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
                group["lr"] = highest * factor
        self.optimizer.step()

    @property
    def learning_rate(self) -> float:
        """Current learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])


def learners_of(
    method: Method,
    optimizers: OptimizerFactory | Mapping[str, OptimizerFactory],
    max_grad_norm: float | Mapping[str, float] | None,
    max_grad_value: float | Mapping[str, float] | None = None,
) -> dict[str, Learner]:
    """The method's learners with their optimizers.

    Parameters
    ----------
    method
        The method.
    optimizers
        One factory for all learners, or one for each name.
    max_grad_norm
        Upper bound on the gradient norm, for all learners or by name; None: no bound.
    max_grad_value
        Upper bound on the absolute value of each entry of the gradient, likewise.

    Raises
    ------
    UsageError
        If names do not match, a learner has no parameter, or a parameter is in two learners.
    """
    parameters = {
        name: [parameter for parameter in given if parameter.requires_grad] for name, given in method.learners().items()
    }
    _check_names("optimizers", optimizers if isinstance(optimizers, Mapping) else (), parameters)
    for option, bounds in (("max_grad_norm", max_grad_norm), ("max_grad_value", max_grad_value)):
        _check_names(option, bounds if isinstance(bounds, Mapping) else (), parameters)
    for term, other in method.cross_terms:
        _check_names("cross_terms", (other, term.partition("/")[0]), parameters)
    _check_parameters(parameters)
    learners = {}
    for name, own in parameters.items():
        factory = optimizers.get(name) if isinstance(optimizers, Mapping) else optimizers
        if factory is None:
            raise UsageError(
                f'optimizers: none for learner "{name}"; this method\'s learners are {", ".join(parameters)}'
            )
        rate = factory.rate if isinstance(factory, Scheduled) else None
        learners[name] = Learner(
            name, own, factory(own), rate, _bound_of(max_grad_norm, name), _bound_of(max_grad_value, name)
        )
    return learners


def _bound_of(bounds: float | Mapping[str, float] | None, learner: str) -> float | None:
    return bounds.get(learner) if isinstance(bounds, Mapping) else bounds


def _check_names(option: str, names: Iterable[str], learners: Iterable[str]) -> None:
    known = list(learners)
    for name in names:
        if name not in known:
            raise UsageError(f'{option}: no learner called "{name}"; this method\'s learners are {", ".join(known)}')


def _check_parameters(parameters: Mapping[str, list[nn.Parameter]]) -> None:
    owner: dict[nn.Parameter, str] = {}
    for name, own in parameters.items():
        if not own:
            raise UsageError(f'learner "{name}" has no parameter that requires a gradient; leave it out of learners()')
        for parameter in own:
            if parameter in owner:
                raise UsageError(
                    f'a parameter of shape {tuple(parameter.shape)} is in learner "{owner[parameter]}" and '
                    f'again in learner "{name}"; each parameter belongs to one learner, once'
                )
            owner[parameter] = name
