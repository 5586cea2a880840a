"""Contract tests of training methods.

    def test_contract():
        check_method(lambda: (MyMethod(...), batch))

`make` builds the method and one batch; every call returns equal ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, OptimizerSpec, Trainer, frozen_modules
from mulde.engine.checkpoint import restore_weights, weights_of
from mulde.engine.update import terms_by_learner

Make = Callable[[], tuple[Method, Any]]
BEGINNING = Clock(step=0, epoch=0, epochs=10, progress=0.0)


def check_method(
    make: Make,
    *,
    clock: Clock = BEGINNING,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] = OptimizerSpec("adam", lr=1e-2),  # noqa: B008
    decreases: bool = True,
) -> None:
    """Raise AssertionError with the property that does not hold.

    clock: a moment at which every learner has a term. optimizer: optimizer of the trial updates.
    decreases: False for a method whose sum of losses may grow, for example adversarial ones.
    """
    losses_are_named_finite_scalars(make, clock)
    every_trainable_parameter_has_one_learner(make)
    learners_are_trained_by_their_own_terms_only(make, clock)
    losses_leave_modes_alone(make, clock)
    method, batch = frozen_networks_stay_as_they_are(make, optimizer)
    one_seed_gives_one_result(make, optimizer, copy.deepcopy(weights_of(method)))
    state_round_trip_preserves_predictions(make, method, batch)
    predicting_changes_nothing(make)
    if decreases:
        ten_updates_reduce_the_sum(make, optimizer, clock)


def losses_are_named_finite_scalars(make: Make, clock: Clock) -> None:
    method, batch = make()
    losses = _losses(method, batch, clock)
    terms = terms_by_learner(method, losses, method.learners())  # refuses wrong names and shapes
    for term, value in losses.items():
        assert torch.isfinite(value).all(), f"{term} is {value.item()} at the beginning"
    for name, values in terms.items():
        assert values, f'learner "{name}" has no term in the very first step'


def every_trainable_parameter_has_one_learner(make: Make) -> None:
    method, _ = make()
    owners: dict[int, list[str]] = {}
    for name, parameters in method.learners().items():
        for parameter in parameters:
            owners.setdefault(id(parameter), []).append(name)
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            owner = owners.get(id(parameter), [])
            assert len(owner) == 1, f"parameter {name} requires a gradient and belongs to the learners {owner}"


def learners_are_trained_by_their_own_terms_only(make: Make, clock: Clock) -> None:
    """Differentiate term by term; for an isolated method the trainer excludes terms of other learners."""
    method, batch = make()
    losses = _losses(method, batch, clock)
    learners = {
        name: [parameter for parameter in parameters if parameter.requires_grad]
        for name, parameters in method.learners().items()
    }
    reached: dict[str, list[str]] = {name: [] for name in learners}
    for term, value in losses.items():
        if not value.requires_grad:
            continue
        for name, parameters in learners.items():
            gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
            if any(gradient is not None and gradient.count_nonzero() > 0 for gradient in gradients):
                reached[name].append(term)
    for name, terms in reached.items():
        own = [term for term in terms if term.partition("/")[0] == name or (term, name) in method.cross_terms]
        assert own, f'no term of learner "{name}" has a gradient for it'
        foreign = sorted(set(terms) - set(own))
        assert method.isolated or not foreign, (
            f'{foreign} also train learner "{name}"; detach what is received, or declare it in cross_terms'
        )


def losses_leave_modes_alone(make: Make, clock: Clock) -> None:
    method, batch = make()
    method.train()
    before = {name: module.training for name, module in method.named_modules()}
    method.losses(batch, clock)
    after = {name: module.training for name, module in method.named_modules()}
    assert before == after, f"losses changed train/eval of {[name for name in before if before[name] != after[name]]}"


def frozen_networks_stay_as_they_are(make: Make, optimizer: Any) -> tuple[Method, Any]:
    """Returns the trained method and its batch."""
    method, batch = make()
    before = {name: copy.deepcopy(module.state_dict()) for name, module in frozen_modules(method)}
    _train(method, batch, optimizer, steps=3)
    method.train()
    for name, module in frozen_modules(method):
        _assert_same(before[name], module.state_dict(), f"frozen {name} after three updates")
        assert not any(part.training for part in module.modules()), f"frozen {name} is not in eval mode"
    return method, batch


def one_seed_gives_one_result(make: Make, optimizer: Any, weights: Mapping[str, Any]) -> None:
    """weights: those after the same three updates."""
    method, batch = make()
    torch.rand(1)  # the caller's random state must not matter
    _train(method, batch, optimizer, steps=3)
    _assert_same(weights, weights_of(method), "two trainings with one seed")


def state_round_trip_preserves_predictions(make: Make, method: Method, batch: Any) -> None:
    """method: after some updates."""
    expected = _predict(method, batch)
    restored, _ = make()
    restore_weights(restored, weights_of(method))
    assert torch.equal(_predict(restored, batch), expected), "saved and loaded weights predict differently"


def predicting_changes_nothing(make: Make) -> None:
    method, batch = make()
    before = copy.deepcopy(method.state_dict())
    first = _predict(method, batch)
    second = _predict(method, batch)
    _assert_same(before, method.state_dict(), "predict")
    assert torch.equal(first, second), "predict returns different outputs for the same batch"


def ten_updates_reduce_the_sum(make: Make, optimizer: Any, clock: Clock) -> None:
    method, batch = make()
    before = _sum_of_losses(method, batch, clock)
    _train(method, batch, optimizer, steps=10)
    after = _sum_of_losses(method, batch, clock)
    assert after < before, f"ten updates on one batch brought the sum of losses from {before:.6g} to {after:.6g}"


def _losses(method: Method, batch: Any, clock: Clock) -> dict[str, Tensor]:
    method.train()
    torch.manual_seed(0)
    return method.losses(batch, clock)


def _sum_of_losses(method: Method, batch: Any, clock: Clock) -> float:
    return sum(value.item() for value in _losses(method, batch, clock).values())


def _train(method: Method, batch: Any, optimizer: Any, steps: int) -> None:
    Trainer(optimizers=optimizer, progress=False).fit(method, [batch], epochs=steps)


def _predict(method: Method, batch: Any) -> Tensor:
    method.eval()
    with torch.no_grad():
        return method.predict(batch)


def _assert_same(before: Mapping[str, Any], after: Mapping[str, Any], what: str) -> None:
    assert before.keys() == after.keys(), f"{what}: {sorted(before.keys() ^ after.keys())} came or went"
    changed = [key for key in before if isinstance(before[key], Tensor) and not torch.equal(before[key], after[key])]
    assert not changed, f"{what}: {changed} differ"
