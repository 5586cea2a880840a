"""Small methods and feeds for tests of the engine: linear regressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method, average_of, frozen, update_average


class Batch(NamedTuple):
    inputs: Tensor  # (b, 3)
    targets: Tensor  # (b, 1)


def linear_network(seed: int) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(3, 1)


class Follower(Method):
    """A student that learns from data and from a frozen network, with a moving average of itself."""

    def __init__(self, seed: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.student = linear_network(seed)
        self.guide = frozen(linear_network(seed + 100))
        self.average = average_of(self.student)
        self.dropout = nn.Dropout(dropout)

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        answer = self.student(self.dropout(batch.inputs))
        return {
            "student/hard": (answer - batch.targets).square().mean(),
            "student/soft": 0.1 * (answer - self.guide(batch.inputs)).square().mean(),
        }

    def after_update(self, clock: Clock) -> None:
        update_average(self.average, self.student, momentum=0.9)

    def predict(self, batch: Batch) -> Tensor:
        return self.student(batch.inputs)


class Peers(Method):
    """Two networks that learn from data and from each other; each detaches the output of the other."""

    def __init__(self, seed: int = 0, detach: bool = True) -> None:
        super().__init__()
        self.a = linear_network(seed)
        self.b = linear_network(seed + 1)
        self.detach_received = detach

    def learners(self) -> dict[str, Any]:
        return {"a": self.a.parameters(), "b": self.b.parameters()}

    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        a, b = self.a(batch.inputs), self.b(batch.inputs)
        to_a, to_b = (b.detach(), a.detach()) if self.detach_received else (b, a)
        return {
            "a/hard": (a - batch.targets).square().mean(),
            "a/peer": 0.5 * (a - to_a).square().mean(),
            "b/hard": (b - batch.targets).square().mean(),
            "b/peer": 0.5 * (b - to_b).square().mean(),
        }

    def predict(self, batch: Batch) -> Tensor:
        return (self.a(batch.inputs) + self.b(batch.inputs)) / 2


class Normalised(Method):
    """A student with batch normalisation and dropout."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 1))

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        return {"student/hard": (self.student(batch.inputs) - batch.targets).square().mean()}

    def predict(self, batch: Batch) -> Tensor:
        return self.student(batch.inputs)


class Reader(Method):
    """Its loss depends on every tensor of a batch (a dataclass), in order, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def learners(self) -> dict[str, Any]:
        return {"reader": [self.weight]}

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        read = [value.flatten() for value in vars(batch).values() if isinstance(value, Tensor)]
        order = torch.cat(read).float().sin() * torch.arange(sum(map(len, read))).cos()
        return {"reader/read": (self.weight - nn.functional.dropout(order, 0.3).mean()).square()}

    def predict(self, batch: Any) -> Tensor:
        return self.weight


class ShuffledFeed:
    """Batches of a fixed regression, in an order drawn from the global random state at every pass."""

    def __init__(self, examples: int = 32, batch_size: int = 8) -> None:
        generator = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(examples, 3, generator=generator)
        self.targets = self.inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.inputs) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.inputs))
        for ids in order.split(self.batch_size):
            yield Batch(self.inputs[ids], self.targets[ids])


def mean_squared_error(method: Method, clock: Clock) -> dict[str, float]:
    feed = ShuffledFeed()
    error = method.predict(Batch(feed.inputs, feed.targets)) - feed.targets
    return {"valid/error": error.square().mean().item()}


class ReactiveFeed:
    """A feed that evaluates the learner between two batches and repeats a batch until its error is small.

    Its state counts the batch just delivered, because it is read while the feed waits at `yield`.
    """

    def __init__(self, network: nn.Module, batches: int = 5, repetitions: int = 8) -> None:
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(batches, 4, 3, generator=generator)
        self.targets = self.inputs.sum(2, keepdim=True)
        self.network, self.repetitions = network, repetitions
        self.at, self.repeated, self.evaluations = 0, 0, 0

    def __iter__(self) -> Iterator[Batch]:
        while self.at < len(self.inputs):
            batch = Batch(self.inputs[self.at], self.targets[self.at])
            while self.repeated < self.repetitions and self._error(batch) > 0.05:
                self.repeated += 1
                yield batch
            self.at, self.repeated = self.at + 1, 0
        self.at = 0

    def _error(self, batch: Batch) -> float:
        self.evaluations += 1
        with torch.no_grad():
            error = (self.network(batch.inputs) - batch.targets).square().mean()
        return error.item() + 1e-3 * torch.rand(()).item()

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at, "repeated": self.repeated}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at, self.repeated = state["at"], state["repeated"]
