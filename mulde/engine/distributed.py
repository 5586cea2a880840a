"""Batches divided among processes: which rows each has, and what its part weighs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

B = TypeVar("B")


@dataclass(frozen=True)
class Part:
    """Which rows of a batch of ``rows`` one of several processes has: rank, rank + processes, and so on."""

    rank: int
    processes: int
    rows: int

    def of(self, whole: Tensor) -> Tensor:
        """This process's rows; the first one, which then weighs nothing, where there are fewer rows than processes."""
        return whole[self.rank :: self.processes] if self.rank < self.rows else whole[:1]

    def of_pairs(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Of pairs (n,) of a row, ascending, and a value those of this process, with its rows counted anew."""
        mine = self.of(torch.arange(self.rows, device=rows.device))
        place = mine.new_full((self.rows,), -1)
        place[mine] = torch.arange(len(mine), device=rows.device)
        kept = place[rows] >= 0
        return place[rows][kept], values[kept]

    @property
    def weight(self) -> float:
        """Weight of this part's mean in the mean of all processes that equals the mean of the whole batch."""
        return len(range(self.rank, self.rows, self.processes)) * self.processes / self.rows


def mapped(batch: B, change: Callable[[Tensor], Tensor]) -> B:
    """A batch, which is a dataclass, with every tensor changed."""
    tensors: dict[str, Any] = {name: change(value) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return replace(batch, **tensors)  # type: ignore[type-var]
