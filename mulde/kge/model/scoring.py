"""Scores of query points against tails: one formula, in each form that training, ranking and prediction need.

    score = similarity(offset + scale · radial(|t|²) + slope · stretch(|t|²) · <q, t>) + bias_q + bias_t

``offset``, ``scale`` and ``slope`` belong to the query, ``radial`` and ``stretch`` to the tail (``mulde.geometry``
derives them for each space). So one inner product per pair is all that couples them: a matrix product against every
entity, a row-wise product against gathered candidates. No form holds a tensor of shape (b, e, d).

    compare      broadcasting reference, differentiable; PyKEEN's interactions are made of it
    candidates   (b, c) scores of chosen entities, differentiable, without keeping (b, c, d) for the backward pass
    blocks       scores of all entities, a few queries at a time in one reused buffer that stays in the cache
    top          the k best entities of each query
    best         the same in order, with their scores

A query may bar one tail from answering, its own head: in `blocks` that one scores `MASKED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from mulde.kge.model.compilation import fused
from mulde.kge.model.sparse_products import GatheredProducts
from mulde.kge.model.threads import spread

BLOCK = 1 << 19  # scores per block: 2 MB of float32, so that the passes over a block run in the cache
SAMPLE = 16  # one column in so many is looked at to guess where the k-th largest score lies
AT_ONCE = 100  # queries from which on several threads are worth their start
MASKED = -1e9  # below every score, and finite: what is not finite is an error

Pairs = tuple[Tensor, Tensor]
"""Positions in a batch (n,), and what belongs to each (n,)."""


@dataclass(frozen=True)
class Queries:
    """Query points: ``points`` (b, d), ``curvature`` () or (b,) or None in flat space, ``bias`` (b,) or None.

    ``masked`` (b,) or None: the entity that may not answer; -1 where any may.
    """

    points: Tensor
    curvature: Tensor | None = None
    bias: Tensor | None = None
    masked: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: Tensor | slice) -> Queries:
        """The queries of these rows."""
        curvature = self.curvature
        if curvature is not None and curvature.dim():
            curvature = curvature[rows]
        bias, masked = (None if part is None else part[rows] for part in (self.bias, self.masked))
        return Queries(self.points[rows], curvature, bias, masked)

    def by_curvature(self) -> tuple[Tensor, Tensor]:
        """Distinct curvatures (u,), 1 in flat space, and for each query the number (b,) of its own."""
        if self.curvature is None or self.curvature.dim() == 0:
            one = self.points.new_ones(1) if self.curvature is None else self.curvature.reshape(1)
            return one, torch.zeros(len(self), dtype=torch.int64, device=self.points.device)
        return self.curvature.unique(return_inverse=True)


@dataclass(frozen=True)
class Tails:
    """All entities as tails: ``vectors`` (e, d) and ``bias`` (e,) or None, in one of the spaces of ``mulde.geometry``.

    ``as_points``: the vectors are points of the ball (manifold parameters), not tangent vectors at the origin.
    ``artanh_limit``: cap on the distance, see :func:`mulde.geometry.poincare.squared_length`.
    ``sparse``: gradients hold the rows of :func:`candidates` only, as those of :func:`lookup`.
    """

    vectors: Tensor
    bias: Tensor | None
    space: ModuleType
    as_points: bool = False
    artanh_limit: float | None = None
    sparse: bool = False

    def __len__(self) -> int:
        return len(self.vectors)

    def terms(self, squares: Tensor, curvature: Tensor | None) -> tuple[Tensor, Tensor]:
        """Radial part and stretch of tails with these squared norms; shapes broadcast."""
        of = self.space.point_terms if self.as_points else self.space.tail_terms
        return of(squares, curvature)

    def factors(self, curvature: Tensor | None, squares: Tensor | None = None) -> Tensor:
        """(e, d + 2) whose inner product with a query's factors is z; ``squares`` (e,): the squared norms, if known."""
        squares = self.vectors.square().sum(1) if squares is None else squares
        radial, stretch = (term.unsqueeze(1) for term in self.terms(squares, curvature))
        return torch.cat([stretch * self.vectors, radial, torch.ones_like(radial)], 1)

    def query_factors(self, points: Tensor, curvature: Tensor | None) -> Tensor:
        """(b, d + 2) of query points (b, d) of one curvature ()."""
        offset, scale, slope = (term.unsqueeze(1) for term in self.space.query_terms(points, curvature))
        return torch.cat([slope * points, scale, offset], 1)


def compare(points: Tensor, vectors: Tensor, curvature: Tensor | None, tails: Tails) -> Tensor:
    """Similarities of query points (..., d) and tail vectors (..., d) that broadcast -> (...); no biases.

    ``curvature`` broadcasts against the result. ``tails`` says how the vectors are stored; its own are not used.
    """
    offset, scale, slope = tails.space.query_terms(points, curvature)
    radial, stretch = tails.terms(vectors.square().sum(-1), curvature)
    inner = torch.einsum("...d,...d->...", points, vectors)
    z = offset + scale * radial + slope * stretch * inner
    return tails.space.similarity(z, curvature, tails.artanh_limit)


def candidates(queries: Queries, tails: Tails, ids: Tensor) -> Tensor:
    """Scores (b, c) of the entities ``ids`` (b, c), differentiable in everything."""
    if tails.sparse:  # as if there were no other entities
        own, ids = ids.unique(return_inverse=True)
        bias = None if tails.bias is None else lookup(tails.bias, own, sparse=True)
        tails = replace(tails, vectors=lookup(tails.vectors, own, sparse=True), bias=bias)
    inner, squares = GatheredProducts.apply(queries.points, tails.vectors, ids)
    scores = fused(_pairs)(inner, squares, queries, tails)
    if tails.bias is not None:
        scores = scores + tails.bias.index_select(0, ids.flatten()).view_as(scores)
    return scores


def lookup(table: Tensor, ids: Tensor, sparse: bool = False) -> Tensor:
    """Rows ``ids`` (n,) of a table. ``sparse``: its gradient is a tensor of these rows, not as large as the table."""
    return _Rows.apply(table, ids) if sparse else table.index_select(0, ids)


def _pairs(inner: Tensor, squares: Tensor, queries: Queries, tails: Tails) -> Tensor:
    """Scores (b, c), without the tails' biases, from inner products and squared norms of the candidates (b, c)."""
    curvature = None if queries.curvature is None else queries.curvature.reshape(-1, 1)
    offset, scale, slope = (term.unsqueeze(-1) for term in tails.space.query_terms(queries.points, queries.curvature))
    radial, stretch = tails.terms(squares, curvature)
    z = torch.addcmul(offset, scale, radial) + slope * stretch * inner
    scores: Tensor = tails.space.similarity(z, curvature, tails.artanh_limit)
    return scores if queries.bias is None else scores + queries.bias.unsqueeze(-1)


@torch.no_grad()
def blocks(queries: Queries, tails: Tails) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (rows, scores (len(rows), e)) until every query had its turn; the scores live in a buffer that is reused.

    Queries are taken in order of curvature, because tails depend on it: with one curvature per relation their terms
    are computed once per relation and block instead of once per query.
    """
    squares = tails.vectors.square().sum(-1)
    distinct, group = queries.by_curvature()
    order = torch.arange(len(queries), device=group.device) if len(distinct) == 1 else group.argsort(stable=True)
    height = min(max(1, BLOCK // len(tails)), len(queries))
    buffer, scratch = queries.points.new_empty(2, height, len(tails))
    transposed, known = tails.vectors.T, None
    for rows in order.split(height):
        part = queries[rows]
        offset, scale, slope = (term.unsqueeze(-1) for term in tails.space.query_terms(part.points, part.curvature))
        z = torch.mm(slope * part.points, transposed, out=buffer[: len(rows)])
        present, sizes = group[rows].unique_consecutive(return_counts=True)
        if known is None or not torch.equal(present, known):  # else all is as in the block before
            terms = tails.terms(squares, distinct[present].unsqueeze(-1))
            known, (radial, stretch) = present, (term.expand(len(present), -1) for term in terms)
        parts = zip(z.split(sizes.tolist()), scale.split(sizes.tolist()), radial, stretch, strict=True)
        for own, own_scale, own_radial, own_stretch in parts:  # rows of one curvature
            own.mul_(own_stretch).addcmul_(own_scale, own_radial)
        curvature = None if part.curvature is None else part.curvature.reshape(-1, 1)
        scores: Tensor = tails.space.similarity_(z.add_(offset), curvature, tails.artanh_limit, scratch[: len(rows)])
        if part.bias is not None:
            scores.add_(part.bias.unsqueeze(-1))
        if tails.bias is not None:
            scores.add_(tails.bias)
        if part.masked is not None:
            barring = (part.masked >= 0).nonzero().squeeze(1)
            scores[barring, part.masked[barring]] = MASKED
        yield rows, scores


def top(queries: Queries, tails: Tails, k: int) -> Tensor:
    """Ids (b, k) of the k best entities of each query, the least of them first; all entities where there are fewer."""
    k = min(k, len(tails))
    ids = torch.empty(len(queries), k, dtype=torch.int64, device=queries.points.device)

    def fill(part: Tensor) -> None:
        for rows, scores in blocks(queries[part], tails):
            ids[part[rows]] = largest(scores, k)

    order = queries.by_curvature()[1].argsort(stable=True)
    threads = torch.get_num_threads() if ids.device.type == "cpu" and len(queries) >= AT_ONCE else 1
    spread(fill, order.chunk(threads))
    return ids


def largest(scores: Tensor, k: int) -> Tensor:
    """Column ids (b, k) of the k largest scores of each row: the least of them first, the others in any order.

    On the CPU far faster than ``torch.topk`` for k of some hundreds: every sixteenth column tells a threshold that
    nearly always lets a little more than k columns pass, and numpy's quickselect takes the k best of those.
    """
    count = scores.shape[1]
    if k >= count:
        return scores.argsort(1)
    if scores.device.type != "cpu" or scores.dtype not in (torch.float32, torch.float64):
        return scores.topk(k).indices.flip(1)
    rows = scores.numpy()
    thresholds = _thresholds(rows, k)
    if thresholds is None:
        return torch.from_numpy(np.argpartition(rows, count - k, axis=1)[:, count - k :])
    chosen = np.empty((len(rows), k), dtype=np.int64)
    for row, threshold, best in zip(rows, thresholds, chosen, strict=True):
        passing = np.flatnonzero(row >= threshold)
        if len(passing) < k:  # the sample misled
            passing = np.arange(count)
        best[:] = passing[np.argpartition(row[passing], len(passing) - k)[len(passing) - k :]]
    return torch.from_numpy(chosen)


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Column ids (b, k) of the k largest scores of each row, and these scores: the best first, equal ones by column.

    All columns where there are fewer than k. Off the CPU, ties at the k-th place fall to any column.
    """
    k = min(k, scores.shape[1])
    thresholds = None if scores.device.type != "cpu" or k == 0 else _thresholds(scores.numpy(), k)
    if thresholds is None:
        if scores.device.type == "cpu":
            ids = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
        else:
            ids = scores.topk(k).indices.sort(1).values
            ids = ids.gather(1, scores.gather(1, ids).argsort(dim=1, descending=True, stable=True))
        return ids, scores.gather(1, ids)
    chosen = np.empty((len(scores), k), dtype=np.int64)
    for row, threshold, first in zip(scores.numpy(), thresholds, chosen, strict=True):
        passing = np.flatnonzero(row >= threshold)  # every column that ties with the k-th is among them
        if len(passing) < k:  # the sample misled
            passing = np.arange(len(row))
        first[:] = passing[np.argsort(-row[passing], kind="stable")[:k]]
    ids = torch.from_numpy(chosen)
    return ids, scores.gather(1, ids)


def is_masked(score: Any) -> Any:
    """Whether scores, a number, array or tensor, are of what may not answer; the graph may have changed them a bit."""
    return score < MASKED / 2


def _thresholds(rows: NDArray[Any], k: int) -> NDArray[Any] | None:
    """For each row (b, e) a score that nearly always a little more than k of its columns reach; None for large k."""
    sample = rows[:, ::SAMPLE]
    expected = k / SAMPLE
    place = sample.shape[1] - int(expected + 4 * expected**0.5 + 4)
    return np.partition(sample, place, axis=1)[:, place] if place > 0 else None


class _Rows(torch.autograd.Function):
    """table[ids] with a sparse gradient."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape = table.shape
        return table[ids]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (ids,) = ctx.saved_tensors
        return _sparse_rows(ids, gradient, ctx.shape), None


def _sparse_rows(ids: Tensor, rows: Tensor, shape: torch.Size) -> Tensor:
    """A sparse tensor of this shape with a row for each id, in any order; rows of equal ids add up."""
    return torch.sparse_coo_tensor(ids.reshape(1, -1), rows, shape, check_invariants=False)
