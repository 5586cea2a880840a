"""One update of the learners from named losses."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mulde.engine.clock import Clock
from mulde.engine.device import Device
from mulde.engine.learning import Learner
from mulde.engine.method import Method
from mulde.errors import NonFiniteError, UsageError


class NonFiniteLoss(NonFiniteError):
    """A loss, or the gradient norm of a learner with a bound, is nan or infinite; the update was not made."""


def update(
    method: Method,
    losses: Mapping[str, Tensor],
    learners: Mapping[str, Learner],
    clock: Clock,
    device: Device,
    weight: float = 1.0,
) -> dict[str, Tensor]:
    """Differentiate the losses and step every learner that has a term among them.

    Parameters
    ----------
    method
        The method.
    losses
        Its losses of one batch, named "learner/term".
    learners
        Its learners by name.
    clock
        The moment, for learning rates.
    device
        Averages gradients over processes.
    weight
        Weight of this process's gradient, see `Batch.weight`.

    Returns
    -------
    dict
        Gradient norm, before clipping, of each learner with a bound.

    Raises
    ------
    UsageError
        For a wrong name or shape of a loss. No learner has been stepped.
    NonFiniteLoss
        No learner has been stepped.
    """
    terms = terms_by_learner(method, losses, learners)
    total = _finite_sum(losses, clock)
    if not total.requires_grad:
        raise UsageError(f"none of the terms {', '.join(losses)} depends on a parameter; is everything detached?")

    for learner in learners.values():
        learner.forget_gradients()
    has_term = device.any_process([bool(terms[name]) for name in learners])
    active = [learner for learner, has in zip(learners.values(), has_term, strict=True) if has]
    if method.isolated:
        _differentiate_apart(terms, active)
    else:
        torch.autograd.backward(total, inputs=[p for learner in active for p in learner.parameters])

    norms = {}
    for learner in active:
        device.average_gradients(learner.parameters, weight)
        if (norm := learner.clip_gradients()) is not None:
            if not math.isfinite(norm.item()):
                raise NonFiniteLoss(f'the gradient of "{learner.name}" became {norm.item()} at {_moment(clock)}')
            norms[learner.name] = norm
    for learner in active:
        learner.step(clock)
    return norms


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


def _differentiate_apart(terms: Mapping[str, list[Tensor]], active: list[Learner]) -> None:
    """One gradient call per learner, so that a term reaches no other learner."""
    for learner in active:
        objectives = [term for term in terms[learner.name] if term.requires_grad]
        if not objectives:
            continue
        gradients = torch.autograd.grad(objectives, learner.parameters, retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(learner.parameters, gradients, strict=True):
            parameter.grad = gradient


def _moment(clock: Clock) -> str:
    return f"step {clock.step + 1} (epoch {clock.epoch + 1})"
