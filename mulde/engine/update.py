"""One update of the learners: losses of its batches, gradients, and the step of the optimizers.

`Update.descend` is gradient descent. A method, or the option `rule` of the trainer, may use the same parts in another
way: several gradients at different weights, loops on copies of a network, a gradient that is no derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from mulde.engine.callback import Callback
from mulde.engine.clock import Clock
from mulde.engine.cost import Cost
from mulde.engine.device import Device
from mulde.engine.learning import Learner
from mulde.engine.method import Method
from mulde.errors import NonFiniteError, UsageError


class NonFiniteLoss(NonFiniteError):
    """A loss, or the gradient norm of a learner with a bound, is nan or infinite; the update was not made."""


class Update:
    """One update.

    Parameters
    ----------
    method
        The method.
    learners
        Its learners by name.
    batches
        Batches of this update, on the device; more than one where gradients are accumulated.
    clock
        The moment.
    device
        Averages gradients over processes.
    weights
        Weight of this process's gradient of each batch, see `Batch.weight`; by default 1.
    cost
        Counts what is computed; None: nothing is counted.
    callbacks
        Callbacks whose losses are added to those of the method.
    """

    def __init__(
        self,
        method: Method,
        learners: Mapping[str, Learner],
        batches: Sequence[Any],
        clock: Clock,
        device: Device,
        weights: Sequence[float] | None = None,
        cost: Cost | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.method, self.learners, self.batches, self.clock, self.device = method, learners, batches, clock, device
        self.norms: dict[str, Tensor] = {}
        """Gradient norm, before clipping, of each learner with a bound."""
        self.first_losses: dict[str, Tensor] = {}
        """Losses of each batch at the weights before the update; their means over the batches."""
        self._weights = [1.0] * len(batches) if weights is None else weights
        self._cost, self._callbacks = cost, callbacks
        self._has_term = [False] * len(learners)
        for learner in learners.values():
            learner.forget_gradients()

    def descend(self) -> None:
        """Gradient descent: the mean gradient of the batches, then one step of every learner that has a term."""
        for number, batch in enumerate(self.batches):
            self.differentiate(self.losses(batch), number)
        self.apply()

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The losses of a batch, named "learner/term": those of the method and of the callbacks."""
        with self.device.autocast(), nullcontext() if self._cost is None else self._cost.of_losses(batch):
            found = self.method.losses(batch, self.clock)
            for callback in self._callbacks:
                more = callback.losses(batch, self.clock)
                if twice := found.keys() & more.keys():
                    raise UsageError(f'"{twice.pop()}" of {type(callback).__name__} is the name of another loss')
                found = {**found, **more} if more else found
        return found

    def differentiate(self, losses: Mapping[str, Tensor], number: int = 0, logged: bool = True) -> None:
        """Add the gradient of the losses of one of the batches to the gradients of the learners.

        Parameters
        ----------
        losses
            What `losses` returned.
        number
            Position of the batch in `batches`.
        logged
            False for a second gradient of the same batch, which the log leaves out.

        Raises
        ------
        UsageError
            For a wrong name or shape of a loss.
        NonFiniteLoss
            If a loss is nan or infinite.
        """
        terms = terms_by_learner(self.method, losses, self.learners)
        total = _finite_sum(losses, self.clock)
        if not total.requires_grad:
            raise UsageError(f"none of the terms {', '.join(losses)} depends on a parameter; is everything detached?")
        has_term = self.device.any_process([bool(terms[name]) for name in self.learners])
        active = [learner for learner, has in zip(self.learners.values(), has_term, strict=True) if has]
        factor = self._factor(number)
        if self.method.isolated:
            _differentiate_apart(terms, active, factor)
        else:
            scaled = total if factor == 1 else factor * total
            torch.autograd.backward(scaled, inputs=[p for learner in active for p in learner.parameters])
        self._has_term = [before or now for before, now in zip(self._has_term, has_term, strict=True)]
        if self._cost is not None:
            self._cost.backwards += 1
        if logged:
            self._log(losses)

    @property
    def active(self) -> list[Learner]:
        """The learners that have a gradient."""
        return [learner for learner, has in zip(self.learners.values(), self._has_term, strict=True) if has]

    def forget_gradients(self) -> None:
        """Remove the gradients."""
        for learner in self.learners.values():
            learner.forget_gradients()

    def apply(self) -> None:
        """Average the gradients over the processes, clip them, and step every learner that has one.

        Raises
        ------
        NonFiniteLoss
            If a gradient norm is nan or infinite. No learner has been stepped.
        """
        weight = self._weights[0] if len(self.batches) == 1 else 1.0  # several: `differentiate` has weighted each
        active = self.active
        for learner in active:
            self.device.average_gradients(learner.parameters, weight)
            if (norm := learner.clip_gradients()) is not None:
                if not math.isfinite(norm.item()):
                    raise NonFiniteLoss(
                        f'the gradient of "{learner.name}" became {norm.item()} at {_moment(self.clock)}'
                    )
                self.norms[learner.name] = norm
        for learner in active:
            learner.step(self.clock)

    def _factor(self, number: int) -> float:
        return 1.0 if len(self.batches) == 1 else self._weights[number] / len(self.batches)

    def _log(self, losses: Mapping[str, Tensor]) -> None:
        if len(self.batches) == 1:
            self.first_losses = dict(losses)
            return
        for term, value in losses.items():
            part = value.detach() / len(self.batches)
            self.first_losses[term] = self.first_losses[term] + part if term in self.first_losses else part


Rule = Callable[[Update], None]
"""An update rule: uses the parts of an `Update` in its own way."""


def terms_by_learner(
    method: Method, losses: Mapping[str, Tensor], learners: Mapping[str, object]
) -> dict[str, list[Tensor]]:
    """The terms that train each learner: its own and cross terms.

    Raises
    ------
    UsageError
        For wrong names and shapes.
    """
    terms: dict[str, list[Tensor]] = {name: [] for name in learners}
    if not losses:
        raise UsageError('losses() returned no term; it must name at least one, as "learner/term"')
    for term, value in losses.items():
        name, slash, rest = term.partition("/")
        if name not in terms:
            raise UsageError(f'"{term}": no learner called "{name}"; this method\'s learners are {", ".join(learners)}')
        if not slash or not rest:
            raise UsageError(f'"{term}": a loss is named "learner/term", for example "{name}/hard"')
        if value.numel() != 1:
            raise UsageError(f'"{term}": a loss is one number; got a tensor of shape {tuple(value.shape)}')
        terms[name].append(value)
    for term, name in method.cross_terms:
        if term in losses and term.partition("/")[0] != name:
            terms[name].append(losses[term])
    return terms


def _finite_sum(losses: Mapping[str, Tensor], clock: Clock) -> Tensor:
    values = iter(losses.values())
    total = next(values)
    for value in values:
        total = total + value
    if not math.isfinite(total.item()):  # the only synchronisation with the device in a step
        numbers = {term: value.item() for term, value in losses.items()}
        broken = [term for term, number in numbers.items() if not math.isfinite(number)]
        what = " and ".join(f'"{term}" became {numbers[term]}' for term in broken) or f"the sum became {total.item()}"
        others = ", ".join(f"{term} {number:.6g}" for term, number in numbers.items() if term not in broken)
        raise NonFiniteLoss(f"{what} at {_moment(clock)}; other terms: {others or 'none'}")
    return total


def _differentiate_apart(terms: Mapping[str, list[Tensor]], active: list[Learner], factor: float) -> None:
    """One gradient call per learner, so that a term reaches no other learner."""
    for learner in active:
        objectives = [term if factor == 1 else factor * term for term in terms[learner.name] if term.requires_grad]
        if not objectives:
            continue
        gradients = torch.autograd.grad(objectives, learner.parameters, retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(learner.parameters, gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _moment(clock: Clock) -> str:
    return f"step {clock.step + 1} (epoch {clock.epoch + 1})"
