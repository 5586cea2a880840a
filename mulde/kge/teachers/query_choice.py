"""Choice of queries for the cached predictions of teachers that are slow, or know more than the training answers.

A teacher that was trained on the graph has nothing new to say about queries without a training answer. Another one,
such as ULTRA, has: its most probable answers to a plausible question.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals
from kge_data.tripleset import TripleSet
from mulde.errors import UsageError

TRIES = 100  # rounds of drawing; each draws as many queries as are wanted


def sample(total: int, count: int | None, seed: int) -> Tensor | None:
    """Numbers (count,) of queries below ``total``, drawn without repetition, ascending; None: all."""
    if count is None or count >= total:
        return None
    chosen = np.random.default_rng([seed, 0]).choice(total, count, replace=False)
    return torch.from_numpy(np.sort(chosen))


def plausible_queries(graph: TripleSet, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Distinct queries without a training answer, whose relation fits what is known of their head.

    One is drawn in three steps: a training query (h, r', ?), another entity that has the relation r' too, and one of
    its relations r; (h, r, ?) is kept if it has no training answer. So a relation is likely if it often occurs together
    with the relations of h. Both directions count: r and r' are internal relations.

    Returns
    -------
    tuple of Tensor
        Heads and internal relations (count,), in the order in which they were drawn.

    Raises
    ------
    UsageError
        If the graph has not so many.
    """
    known = KnownAnswers(with_reciprocals(graph.train))
    random = np.random.default_rng([seed, 1])
    heads, relations = known.heads, known.relations
    by_relation = relations.argsort(kind="stable")
    relation_starts = np.searchsorted(relations[by_relation], np.arange(2 * graph.num_relations + 1))
    head_starts = np.searchsorted(heads, np.arange(graph.num_entities + 1))
    found: dict[tuple[int, int], None] = {}
    for _ in range(TRIES):
        if len(found) >= count:
            break
        first = random.integers(len(heads), size=count)
        other = heads[by_relation[_one_of(relation_starts, relations[first], random)]]
        relation = relations[_one_of(head_starts, other, random)]
        new = known.find(heads[first], relation) < 0
        found |= dict.fromkeys(zip(heads[first][new].tolist(), relation[new].tolist(), strict=True))
    if len(found) < count:
        raise UsageError(
            f"expected {count:,} queries outside the training triples of {graph.name}, found {len(found):,}; ask for "
            "fewer with --extra-queries"
        )
    chosen = torch.tensor(list(found)[:count], dtype=torch.int64).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1]


def _one_of(starts: np.ndarray, groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A random place of each group (n,), whose places begin at ``starts``."""
    sizes = starts[groups + 1] - starts[groups]
    return starts[groups] + (random.random(len(groups)) * sizes).astype(np.int64)
