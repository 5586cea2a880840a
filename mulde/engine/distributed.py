"""Batches divided among processes: the rows of each process and the weight of its part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

B = TypeVar("B")


@dataclass(frozen=True)
class Part:
    """The rows of one process: rank, rank + processes, and so on."""

    rank: int
    """The process, from 0."""
    processes: int
    """How many processes there are."""
    rows: int
    """Rows of the whole batch."""

    def of(self, whole: Tensor) -> Tensor:
        """This process's rows of a tensor; row 0 with weight 0 if the process has none."""
        return whole[self.rank :: self.processes] if self.rank < self.rows else whole[:1]

    def of_pairs(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """This process's part of pairs (row, value), rows renumbered.

        Parameters
        ----------
        rows
            (n,) int64, ascending.
        values
            (n,)
        """
        mine = self.of(torch.arange(self.rows, device=rows.device))
        place = mine.new_full((self.rows,), -1)
        place[mine] = torch.arange(len(mine), device=rows.device)
        kept = place[rows] >= 0
        return place[rows][kept], values[kept]

    @property
    def weight(self) -> float:
        """Weight of this part: its rows over the mean number of all parts.

        The mean over processes of weight times the mean of a part is the mean of the whole batch.
        """
        return len(range(self.rank, self.rows, self.processes)) * self.processes / self.rows


def mapped(batch: B, change: Callable[[Tensor], Tensor]) -> B:
    """A dataclass with `change` applied to every tensor."""
    tensors: dict[str, Any] = {name: change(value) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return replace(batch, **tensors)  # type: ignore[type-var]
