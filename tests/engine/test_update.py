"""Names, gradients and errors of one update."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, NonFiniteLoss, Trainer
from mulde.engine.device import Device
from mulde.engine.learning import learners_of
from mulde.engine.update import Update
from tests.engine.toys import Peers, ShuffledFeed

CLOCK = Clock(step=411, epoch=2, epochs=5, progress=0.5)


class Free(Method):
    """Two learners of one number each, a = 2 and b = 3, with the losses of a test."""

    def __init__(self, losses: Any = None) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
        self.wanted = losses

    def learners(self) -> dict[str, list[nn.Parameter]]:
        return {"a": [self.a], "b": [self.b]}

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        return self.wanted(self.a, self.b)

    def predict(self, batch: Any) -> Tensor:
        return self.a + self.b


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


def after_one_update(method: Free, max_grad_norm: Any = None) -> tuple[float, float]:
    learners = learners_of(method, sgd, max_grad_norm)
    Update(method, learners, [None], CLOCK, Device()).descend()
    return round(method.a.item(), 5), round(method.b.item(), 5)


def test_a_learner_without_a_term_is_not_stepped() -> None:
    method = Free(lambda a, b: {"a/hard": a * b})
    method.b.grad = torch.tensor(7.0)  # left over from an earlier step
    assert after_one_update(method) == (1.7, 3.0)
    assert method.b.grad is None


def test_joined_graphs_add_up_unless_isolated() -> None:
    def losses(a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"a/product": a * b, "b/square": b.square(), "b/none": torch.tensor(1.0)}

    joined, apart, crossed = Free(losses), Free(losses), Free(losses)
    assert after_one_update(joined) == (1.7, 2.2)  # db = a + 2b = 8: the contract suite refuses such a method
    apart.isolated = True
    assert after_one_update(apart) == (1.7, 2.4)  # db = 2b = 6
    crossed.isolated, crossed.cross_terms = True, {("a/product", "b")}
    assert after_one_update(crossed) == (1.7, 2.2)


def test_a_cross_term_alone_steps_the_other_learner() -> None:
    method = Free(lambda a, b: {"a/product": a * b})
    method.cross_terms = {("a/product", "b")}
    assert after_one_update(method) == (1.7, 2.8)


def test_max_grad_norm_is_per_learner() -> None:
    def losses(a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"a/steep": 100 * a, "b/steep": 100 * b}

    assert after_one_update(Free(losses), max_grad_norm={"a": 1.0}) == (1.9, -7.0)
    assert after_one_update(Free(losses), max_grad_norm=1.0) == (1.9, 2.9)


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        (
            lambda a, b: {"studnet/soft": a},
            '"studnet/soft": no learner called "studnet"; this method\'s learners are a, b',
        ),
        (lambda a, b: {"a": a}, '"a": a loss is named "learner/term", for example "a/hard"'),
        (
            lambda a, b: {"a/rows": a * torch.ones(2, 3)},
            '"a/rows": a loss is one number; got a tensor of shape (2, 3)',
        ),
        (lambda a, b: {}, 'losses() returned no term; it must name at least one, as "learner/term"'),
        (
            lambda a, b: {"a/x": a.detach()},
            "none of the terms a/x depends on a parameter; is everything detached?",
        ),
    ],
)
def test_bad_losses_are_refused(losses: Any, sentence: str) -> None:
    method = Free(losses)
    with pytest.raises(ValueError) as refusal:
        after_one_update(method)
    assert str(refusal.value) == sentence
    assert (method.a.item(), method.b.item()) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("losses", "sentence"),
    [
        (
            lambda a, b: {"a/hard": a, "b/soft": b * torch.nan},
            '"b/soft" became nan at step 412 (epoch 3); other terms: a/hard 2',
        ),
        (
            lambda a, b: {"a/hard": a * torch.inf, "b/soft": -b * torch.inf},
            '"a/hard" became inf and "b/soft" became -inf at step 412 (epoch 3); other terms: none',
        ),
        (
            lambda a, b: {"a/x": a * 1e38, "b/y": b * 1e38, "b/z": b * 1e38},
            "the sum became inf at step 412 (epoch 3); other terms: a/x 2e+38, b/y 3e+38, b/z 3e+38",
        ),
    ],
)
def test_non_finite_losses_are_refused_by_name(losses: Any, sentence: str) -> None:
    method = Free(losses)
    with pytest.raises(NonFiniteLoss) as refusal:
        after_one_update(method)
    assert str(refusal.value) == sentence
    assert (method.a.item(), method.b.item()) == (2.0, 3.0)


def test_a_non_finite_gradient_is_refused_before_any_step() -> None:
    method = Free(lambda a, b: {"a/hard": a, "b/root": (b - 3).abs().sqrt() * 0 + (b - 3).square().sqrt()})
    with pytest.raises(NonFiniteLoss, match=r'the gradient of "b" became nan at step 412 \(epoch 3\)'):
        after_one_update(method, max_grad_norm=1.0)
    assert (method.a.item(), method.b.item()) == (2.0, 3.0)


def test_the_trainer_names_the_last_checkpoint(tmp_path: Any) -> None:
    method = Peers()
    losses = method.losses

    def broken_later(batch: Any, clock: Clock) -> dict[str, Tensor]:
        found = losses(batch, clock)
        return found if clock.step < 5 else found | {"a/peer": found["a/peer"] * torch.nan}

    method.losses = broken_later  # type: ignore[method-assign]
    with pytest.raises(NonFiniteLoss) as refusal:
        Trainer(folder=tmp_path, checkpoint_every=0).fit(method, ShuffledFeed(), epochs=3, name="broken")
    assert '"a/peer" became nan at step 6 (epoch 2)' in str(refusal.value)
    assert str(refusal.value).endswith(f"last checkpoint: {tmp_path / 'broken' / 'checkpoint.pt'}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"optimizers": {"a": sgd}}, 'optimizers: none for learner "b"; this method\'s learners are a, b'),
        ({"optimizers": {"c": sgd}}, 'optimizers: no learner called "c"; this method\'s learners are a, b'),
        ({"max_grad_norm": {"c": 1.0}}, 'max_grad_norm: no learner called "c"; this method\'s learners are a, b'),
    ],
)
def test_wrong_learner_names_in_options(options: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Trainer(**options).fit(Peers(), ShuffledFeed(), epochs=1)
    assert str(refusal.value) == sentence


def test_wrong_learners_are_refused() -> None:
    method = Free()
    method.cross_terms = {("a/soft", "senoir")}
    with pytest.raises(ValueError, match='cross_terms: no learner called "senoir"'):
        learners_of(method, sgd, None)
    method = Free()
    method.learners = lambda: {"a": [method.a], "b": [method.a]}  # type: ignore[method-assign]
    with pytest.raises(ValueError, match='is in learner "a" and again in learner "b"'):
        learners_of(method, sgd, None)
    method = Free()
    method.b.requires_grad_(False)
    with pytest.raises(ValueError, match='learner "b" has no parameter that requires a gradient'):
        learners_of(method, sgd, None)
