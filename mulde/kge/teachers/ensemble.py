"""The teacher ensemble: frozen teachers that are queried together.

A teacher is anything with ``score`` (chosen tails) and ``score_all`` (every tail) for queries with internal relation
ids: our own models, or any PyKEEN model through ``mulde.pykeen.teachers``. Teachers may differ in dimension, geometry
and scorer; they must have the entities and relations of the data, by name; :class:`Renumbered` wraps one with other
ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kge_data.inverse import internal_id, is_reciprocal, user_relation
from mulde.errors import UsageError

ROWS = 64  # queries per block when every entity is scored
SHIFT = 32  # bits of a relation id in the number of a query
LISTED = 10  # missing names that a refusal lists


class Ensemble(nn.Module):
    """m teachers; nothing in it learns, and all it returns is without gradient.

    The teachers are switched to eval mode and stop requiring gradients; pass copies to go on training them.
    """

    _keys: Tensor
    _scores: Tensor

    def __init__(self, teachers: Sequence[nn.Module]):
        super().__init__()
        if not teachers:
            raise UsageError(
                "an ensemble needs at least one teacher; got none; pass the teachers' run folders or models"
            )
        self.teachers = nn.ModuleList(teachers)
        self.register_buffer("_keys", torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_buffer("_scores", torch.empty(0), persistent=False)
        self._last: tuple[tuple[Tensor, Tensor, Tensor], Tensor] | None = None
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Ensemble:
        """Stays in eval mode."""
        return super().train(False)

    def __len__(self) -> int:
        return len(self.teachers)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each teacher: scorer and dimension, or the class of its model; equal names are numbered.

        For example RotH 64, RotH 64 (2).
        """
        names = [_name(teacher) for teacher in self._each()]
        earlier = [names[:place].count(name) for place, name in enumerate(names)]
        return tuple(f"{name} ({count + 1})" if count else name for name, count in zip(names, earlier, strict=True))

    def _each(self) -> Iterator[Any]:
        return iter(self.teachers)

    @torch.no_grad()
    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Raw scores (m, b, c) of the candidates ``ids`` (b, c); the last ones are kept for an equal query."""
        query = heads, relations, ids
        if self._last is None or not all(map(torch.equal, query, self._last[0])):
            self._last = query, torch.stack([teacher.score(heads, relations, ids) for teacher in self._each()])
        return self._last[1]

    @torch.no_grad()
    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Raw scores (m, b, e) of every entity."""
        keys = _key(heads, relations)
        if len(self._keys):
            places = torch.searchsorted(self._keys, keys).clamp_max(len(self._keys) - 1)
            if torch.equal(self._keys[places], keys):
                return self._scores[:, places]
        return torch.stack([teacher.score_all(heads, relations) for teacher in self._each()])

    def remember(self, heads: Tensor, relations: Tensor, limit: int) -> None:
        """Compute the scores (m, q, e) of these queries (n,) once, for later calls of `score_all`.

        Parameters
        ----------
        limit
            Largest number of scores; if there are more, nothing is kept.
        """
        keys = _key(heads, relations).unique()
        queries = keys >> SHIFT, keys & ((1 << SHIFT) - 1)
        entities = self.score_all(queries[0][:1], queries[1][:1]).shape[-1]
        if len(self) * len(keys) * entities <= limit:
            self._scores, self._keys = self.score_all(*queries), keys

    @torch.no_grad()
    def blocks(
        self, heads: Tensor, relations: Tensor, weights: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows, scores (rows, e)) of the ensemble: the sum of the teachers' scores times their weights (b, m).

        Without weights this is MulDE's "original" ensemble; with the Senior's gates it is the Senior's own ranking.
        """
        for rows in relations.argsort(stable=True).split(ROWS):
            scores = self.score_all(heads[rows], relations[rows])
            if weights is not None:
                scores *= weights[rows].T.unsqueeze(-1)
            yield rows, scores.sum(0)


def _key(heads: Tensor, relations: Tensor) -> Tensor:
    """One number for each query."""
    return (heads << SHIFT) + relations


def match(kind: str, wanted: Sequence[str], known: Mapping[str, int], who: str = "the teacher") -> Tensor:
    """The teacher's id of each of our names, (len(wanted),).

    Raises
    ------
    UsageError
        With the names that it lacks.
    """
    missing = [name for name in wanted if name not in known]
    if missing:
        more = ", …" if len(missing) > LISTED else ""
        raise UsageError(
            f"{who} does not know {len(missing):,} of the graph's {len(wanted):,} {kind}: "
            f"{', '.join(missing[:LISTED])}{more}; train it on this graph, with the same names"
        )
    return torch.tensor([known[name] for name in wanted], dtype=torch.int64)


class Renumbered(nn.Module):
    """A teacher with ids of its own, queried by the ids of our graph; it may have more entities and relations.

    Parameters
    ----------
    teacher
        Answers ``score`` and ``score_all`` in its own ids.
    entities, relations
        Its id of each of our entities (e,) and user relations (r,), as from :func:`match`.
    trained_on
        Its training triples (n, 3) in its own ids, where they are known.
    """

    entities: Tensor
    relations: Tensor

    def __init__(self, teacher: nn.Module, entities: Tensor, relations: Tensor, trained_on: Any = None):
        super().__init__()
        self.teacher: Any = teacher
        self.trained_on = trained_on
        self.register_buffer("entities", entities, persistent=False)
        self.register_buffer("relations", relations, persistent=False)

    def _own_ids(self, heads: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
        heads, relations = heads.to(self.entities.device), relations.to(self.entities.device)
        return self.entities[heads], internal_id(self.relations[user_relation(relations)], is_reciprocal(relations))

    def score(self, heads: Tensor, relations: Tensor, ids: Tensor) -> Tensor:
        """Scores of the tails ``ids``: (b,) of one tail each, or (b, c) of candidates."""
        scores: Tensor = self.teacher.score(
            *self._own_ids(heads, relations), self.entities[ids.to(self.entities.device)]
        )
        return scores

    def score_all(self, heads: Tensor, relations: Tensor) -> Tensor:
        """Scores (b, e) of every entity of ours."""
        scores: Tensor = self.teacher.score_all(*self._own_ids(heads, relations))
        return scores[:, self.entities]


def _name(teacher: Any) -> str:
    if isinstance(teacher, Renumbered):
        teacher = teacher.teacher
    model = getattr(teacher, "model", teacher)  # PyKEEN's models come wrapped
    kind = getattr(model, "scorer", type(model))
    return f"{kind.__name__} {model.config.dim}" if hasattr(model, "config") else str(kind.__name__)
