"""The panel: frozen teachers that are asked together.

A teacher is anything with ``score`` (chosen tails) and ``score_all`` (every tail) for queries with internal relation
ids: our own models, or any PyKEEN model through ``mulde.pykeen.teachers``. Teachers may differ in dimension, geometry
and scorer; they share the entities and relations of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

ROWS = 64  # queries per block when every entity is scored


class Panel(nn.Module):
    """m teachers; nothing in it learns, and all it returns is without gradient.

    The teachers are switched to eval mode and stop requiring gradients; pass copies to go on training them.
    """

    def __init__(self, teachers: Sequence[nn.Module]):
        super().__init__()
        if not teachers:
            raise ValueError("a panel needs at least one teacher; got none; pass the teachers' run folders or models")
        self.teachers = nn.ModuleList(teachers)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Panel:
        """Stays in eval mode, whatever contains it."""
        return super().train(False)

    def __len__(self) -> int:
        return len(self.teachers)

    @property
    def names(self) -> tuple[str, ...]:
        """What to call each teacher, as far as it tells: scorer and dimension, or the class of its model."""
        return tuple(_name(teacher) for teacher in self._each())

    def _each(self) -> Iterator[Any]:
        return iter(self.teachers)

    @torch.no_grad()
    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Raw scores (m, b, c) of the candidates ``ids`` (b, c)."""
        return torch.stack([teacher.score(heads, relations, ids) for teacher in self._each()])

    @torch.no_grad()
    def blocks(
        self, heads: Tensor, relations: Tensor, weights: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (rows, e)) of the ensemble: the sum of the teachers' scores times their weights (b, m).

        Without weights this is MulDE's "original" ensemble; with the Senior's gates it is the Senior's own ranking.
        """
        for rows in relations.argsort(stable=True).split(ROWS):
            scores = torch.stack([teacher.score_all(heads[rows], relations[rows]) for teacher in self._each()])
            if weights is not None:
                scores *= weights[rows].T.unsqueeze(-1)
            yield rows, scores.sum(0)


def _name(teacher: Any) -> str:
    model = getattr(teacher, "model", teacher)  # PyKEEN's models come wrapped
    kind = getattr(model, "scorer", type(model))
    return f"{kind.__name__} {model.config.dim}" if hasattr(model, "config") else str(kind.__name__)
