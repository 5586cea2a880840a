"""Candidate facts of one relation, and the best of them by score, in bounded memory.

A candidate is a pair (head, tail) that train does not contain for the relation. Pairs of an entity with itself are
candidates only for relations that have such a pair in train. Which other pairs are candidates is a choice:

    observed    in train, the head is a head of the relation and the tail is a tail of it
    either      at least one of the two holds
    all         all pairs

The score of a candidate is the mean of its two scores, of the tail as an answer to (h, r, ?) and of the head as an
answer to (?, r, t), both with the graph prior if wanted. Candidates are scored in tiles of `SIDE` heads and `SIDE`
tails in both directions; only those that reach the k-th best score so far are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.inverse import forward_id, reciprocal_id
from kge_data.tripleset import TripleSet
from mulde.kge.model import scoring
from mulde.kge.model.directions import Ids
from mulde.kge.model.kge_model import KGEModel
from mulde.metrics.ranks import refuse_non_finite

Kind = Literal["observed", "either", "all"]
Rectangle = tuple[Ids, Ids]
"""Heads (n,) and tails (m,), ascending; every pair of them is a candidate."""
SIDE = 1 << 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of one relation, best first."""

    heads: Ids
    """(n,)"""
    tails: Ids
    """(n,)"""
    scores: NDArray[Any]
    """(n,) mean of both directions."""


class Candidates:
    """Candidate facts of a graph, by relation.

    Parameters
    ----------
    graph
        The graph.
    kind
        Which pairs are candidates.
    heads, tails
        Ids, ascending, that the heads and tails are limited to; None: all.
    """

    def __init__(self, graph: TripleSet, kind: Kind = "observed", heads: Ids | None = None, tails: Ids | None = None):
        self.kind = kind
        self.every: Ids = np.arange(graph.num_entities)
        self._heads, self._tails = heads, tails
        self.train = KnownAnswers(graph.train)
        self._triples = graph.train[np.argsort(graph.train[:, 1], kind="stable")]
        self._starts = np.searchsorted(self._triples[:, 1], np.arange(graph.num_relations + 1))

    def rectangles(self, relation: int) -> list[Rectangle]:
        """Disjoint rectangles that hold the candidates of a relation, and pairs that train contains."""
        found = self._of_kind(relation)
        if self._heads is not None:
            found = [(np.intersect1d(heads, self._heads, assume_unique=True), tails) for heads, tails in found]
        if self._tails is not None:
            found = [(heads, np.intersect1d(tails, self._tails, assume_unique=True)) for heads, tails in found]
        return found

    def _of_kind(self, relation: int) -> list[Rectangle]:
        if self.kind == "all":
            return [(self.every, self.every)]
        heads, tails = self._seen(relation)
        if self.kind == "observed":
            return [(heads, tails)]
        return [(heads, self.every), (np.setdiff1d(self.every, heads, assume_unique=True), tails)]

    def pairs(self, relation: int) -> int:
        """Number of pairs in the rectangles of a relation."""
        return sum(len(heads) * len(tails) for heads, tails in self.rectangles(relation))

    def count(self, relation: int) -> int:
        """Number of candidates of a relation."""
        own = np.unique(self._own(relation), axis=0)
        known = sum(
            int((np.isin(own[:, 0], heads) & np.isin(own[:, 2], tails)).sum())
            for heads, tails in self.rectangles(relation)
        )
        new = self.pairs(relation) - known
        if self.self_loops(relation):
            return new
        return new - sum(len(np.intersect1d(*ends, assume_unique=True)) for ends in self.rectangles(relation))

    def contains(self, triples: Ids) -> NDArray[np.bool_]:
        """Whether each triple (n, 3) is a candidate."""
        found = np.zeros(len(triples), dtype=bool)
        for relation in np.unique(triples[:, 1]).tolist():
            rows = np.flatnonzero(triples[:, 1] == relation)
            heads, _, tails = triples[rows].T
            inside = np.zeros(len(rows), dtype=bool)
            for some_heads, some_tails in self.rectangles(relation):
                inside |= np.isin(heads, some_heads) & np.isin(tails, some_tails)
            if not self.self_loops(relation):
                inside &= heads != tails
            found[rows] = inside
        return found & ~self.train.contains(*triples.T)

    def self_loops(self, relation: int) -> bool:
        """Whether train has a triple (x, relation, x)."""
        own = self._own(relation)
        return bool((own[:, 0] == own[:, 2]).any())

    def tiles(self, relation: int) -> Iterator[Rectangle]:
        """The rectangles in tiles of at most `SIDE` heads and tails."""
        for heads, tails in self.rectangles(relation):
            for top in range(0, len(heads), SIDE):
                for left in range(0, len(tails), SIDE):
                    yield heads[top : top + SIDE], tails[left : left + SIDE]

    def _seen(self, relation: int) -> Rectangle:
        own = self._own(relation)
        return np.unique(own[:, 0]), np.unique(own[:, 2])

    def _own(self, relation: int) -> Ids:
        return self._triples[self._starts[relation] : self._starts[relation + 1]]


def best_pairs(
    model: KGEModel,
    candidates: Candidates,
    relation: int,
    k: int,
    graph_prior: bool = True,
    scored: Callable[[int], object] = int,
) -> Pairs:
    """The k best candidates of a relation; equal scores by head and tail.

    Parameters
    ----------
    model
        A model.
    candidates
        Candidates of its graph.
    relation
        Relation id of the graph.
    k
        Number of candidates.
    graph_prior
        Whether to add the model's graph prior.
    scored
        Receives the number of pairs of each tile that is scored.

    Raises
    ------
    mulde.metrics.ranks.NonFiniteScores
        If the model gives NaN or infinity.
    """
    empty = np.zeros(0, dtype=np.int64)
    best = Pairs(empty, empty, np.zeros(0, dtype=np.float64))
    loops, threshold = candidates.self_loops(relation), -np.inf
    for heads, tails in candidates.tiles(relation):
        scores = pair_scores(model, relation, heads, tails, graph_prior)
        refuse_non_finite(scores)
        row, column = _hidden(candidates.train, relation, heads, tails, loops)
        scores[torch.from_numpy(row), torch.from_numpy(column)] = -torch.inf
        if len(best.scores) < k:  # of the first tiles the k best are enough
            threshold = _kth(scores, k)
        place = (scores.flatten() >= threshold).nonzero().squeeze(1)
        values = scores.flatten()[place].double().cpu().numpy()
        row, column = np.divmod(place.cpu().numpy(), len(tails))
        best = _merge(best, Pairs(heads[row], tails[column], values), k)
        if len(best.scores) == k:
            threshold = best.scores[-1]
        scored(len(heads) * len(tails))
    return best


@torch.no_grad()
def pair_scores(model: KGEModel, relation: int, heads: Ids, tails: Ids, graph_prior: bool) -> Tensor:
    """Mean scores (n, m) of all pairs of heads (n,) and tails (m,) that train does not contain."""
    forward, backward = int(forward_id(relation)), int(reciprocal_id(relation))
    scores = _direction(model, forward, heads, tails)
    scores += _direction(model, backward, tails, heads).T
    prior = model.graph_prior
    if graph_prior and prior is not None:  # a new triple's tail answers another head if it answers any
        for internal, ids, shape in ((forward, tails, (1, -1)), (backward, heads, (-1, 1))):
            answering = torch.from_numpy(np.isin(ids, prior.index.answering(internal))).to(scores.device)
            scores += (prior.weights[internal] * answering).to(scores.dtype).reshape(shape)
    return scores.mul_(0.5)


def _direction(model: KGEModel, internal: int, ids: Ids, answers: Ids) -> Tensor:
    device = model.entity.device
    entities, chosen = torch.from_numpy(ids).to(device), torch.from_numpy(answers).to(device)
    every = model.tails()
    tails = replace(every, vectors=every.vectors[chosen], bias=None if every.bias is None else every.bias[chosen])
    scores = model.entity.new_empty(len(ids), len(answers))
    for rows, block in scoring.blocks(model.query(entities, torch.full_like(entities, internal)), tails):
        scores[rows] = block
    return scores


def _hidden(train: KnownAnswers, relation: int, heads: Ids, tails: Ids, self_loops: bool) -> tuple[Ids, Ids]:
    """Rows and columns of the pairs that are no candidates."""
    row, tail = train.gather(heads, np.full(len(heads), relation))
    column = np.searchsorted(tails, tail)
    inside = tails[np.minimum(column, len(tails) - 1)] == tail
    row, column = row[inside], column[inside]
    if self_loops:
        return row, column
    _, same_row, same_column = np.intersect1d(heads, tails, assume_unique=True, return_indices=True)
    return np.concatenate([row, same_row]), np.concatenate([column, same_column])


def _kth(scores: Tensor, k: int) -> float:
    """The k-th largest score of a tile; the least finite one where there are fewer."""
    values = scores.flatten()
    kth = float(values.topk(min(k, len(values)), sorted=False).values.min())
    return kth if kth > -np.inf else torch.finfo(scores.dtype).min


def _merge(best: Pairs, new: Pairs, k: int) -> Pairs:
    heads, tails = np.concatenate([best.heads, new.heads]), np.concatenate([best.tails, new.tails])
    scores = np.concatenate([best.scores, new.scores])
    order = np.lexsort((tails, heads, -scores))[:k]
    return Pairs(heads[order], tails[order], scores[order])
