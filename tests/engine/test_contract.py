"""The method contract on the toy methods, and on methods that break one rule each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method
from tests.contracts.method import check_method
from tests.engine.toys import Batch, Follower, Peers, ShuffledFeed


def batch() -> Batch:
    feed = ShuffledFeed()
    return Batch(feed.inputs, feed.targets)


@pytest.mark.parametrize("method", [Follower, Peers])
def test_the_contract_holds(method: type[Method]) -> None:
    check_method(lambda: (method(), batch()))


class Undetached(Peers):
    def __init__(self) -> None:
        super().__init__(detach=False)


class Declared(Undetached):
    cross_terms = frozenset({("a/peer", "b"), ("b/peer", "a")})


class Apart(Undetached):
    isolated = True


@pytest.mark.parametrize("method", [Declared, Apart])
def test_joined_graphs_are_allowed_if_declared(method: type[Method]) -> None:
    check_method(lambda: (method(), batch()))


class Forgotten(Follower):
    def __init__(self) -> None:
        super().__init__()
        self.adapter = nn.Linear(1, 1)


class Thawed(Follower):
    def after_update(self, clock: Clock) -> None:
        with torch.no_grad():
            self.guide.bias.add_(1)


class Hidden(Follower):
    """State outside of parameters and buffers."""

    offset = 0.0

    def after_update(self, clock: Clock) -> None:
        self.offset += 1

    def predict(self, batch: Batch) -> Tensor:
        return self.student(batch.inputs) + self.offset


class Counting(Follower):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("predictions", torch.zeros(()))

    def predict(self, batch: Batch) -> Tensor:
        self.predictions += 1
        return self.student(batch.inputs)


class Switching(Follower):
    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        self.student.eval()
        return super().losses(batch, clock)


class Random(Follower):
    made = 0

    def __init__(self) -> None:
        type(self).made += 1
        super().__init__(seed=self.made)


class Rising(Follower):
    def after_update(self, clock: Clock) -> None:
        with torch.no_grad():
            self.student.weight.add_(1)


class Idle(Peers):
    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        return {"a/hard": super().losses(batch, clock)["a/hard"]}


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (Undetached, r"\['b/peer'\] also train learner \"a\""),
        (Forgotten, "adapter.weight requires a gradient and belongs to the learners"),
        (Thawed, "frozen guide after three updates"),
        (Hidden, "saved and loaded weights predict differently"),
        (Counting, r"predict: \['predictions'\] differ"),
        (Switching, r"changed train/eval of \['student'\]"),
        (Random, "two trainings with one seed|saved and loaded"),
        (Rising, "ten updates on one batch"),
        (Idle, 'learner "b" has no term'),
    ],
)
def test_a_broken_rule_is_found(method: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_method(lambda: (method(), batch()))
