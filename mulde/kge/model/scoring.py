"""Scores of query points against tails: one formula, in each form that training, ranking and prediction need.

    score = similarity(offset + scale · radial(|t|²) + slope · stretch(|t|²) · <q, t>) + bias_q + bias_t

``offset``, ``scale`` and ``slope`` belong to the query, ``radial`` and ``stretch`` to the tail; each space of
``mulde.geometry.spaces`` defines them. No form holds a tensor of shape (b, e, d).

    similarities          the formula, differentiable: `compare`, `candidates`, `every` and the ONNX export
    Tails.factors         the same as one matrix product with d + 2 columns: ranking and the loss over all entities
    Tails.scores_         from z to scores, in place: `blocks` and ranking

`blocks` computes z from the terms, not from `Tails.factors`: with a curvature for each relation the factors (e, d + 2)
would be built once per relation and block. On FB15k-237 with 60 curvatures among 500 queries that takes 1.6 times as
long, with 200 curvatures 2.8 times. `similarities` keeps what the backward pass needs, so it cannot work in place.

    compare      broadcasting, without biases; PyKEEN's interactions use it
    candidates   (b, c) scores of chosen entities, differentiable, without keeping (b, c, d) for the backward pass
    every        (b, e) scores of all entities, differentiable, for small graphs
    blocks       scores of all entities, a few queries at a time in one reused buffer that stays in the cache
    top          the k best entities of each query
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mulde.geometry.spaces import Space
from mulde.kge.model.compilation import compiled
from mulde.kge.model.graph_terms import MASKED
from mulde.kge.model.selection import largest
from mulde.kge.model.sparse_products import SparseProducts
from mulde.kge.model.threads import in_threads

BLOCK = 1 << 19  # scores per block: 2 MB of float32, so that a block stays in the cache
THREADED = 100  # number of queries from which several threads are faster than one

Pairs = tuple[Tensor, Tensor]
"""Positions in a batch (n,), and an id for each (n,)."""
QueryTerms = tuple[Tensor, Tensor, Tensor | float]
"""Offset, scale and slope of query points."""


@dataclass(frozen=True)
class Queries:
    """Query points of a batch.

    Parameters
    ----------
    points
        (b, d)
    curvature
        () or (b,); None in flat space.
    bias
        (b,) or None.
    masked
        (b,) the entity that scores `MASKED` in :func:`blocks`, -1 for no entity; or None.
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
        """Distinct curvatures (u,), 1 in flat space, and the index of each query's curvature among them (b,)."""
        if self.curvature is None or self.curvature.dim() == 0:
            one = self.points.new_ones(1) if self.curvature is None else self.curvature.reshape(1)
            return one, torch.zeros(len(self), dtype=torch.int64, device=self.points.device)
        return self.curvature.unique(return_inverse=True)


@dataclass(frozen=True)
class Tails:
    """All entities as tails.

    Parameters
    ----------
    vectors
        (e, d)
    bias
        (e,) or None.
    space
        How they are compared with query points.
    sparse
        Whether gradients of :func:`candidates` are sparse tensors with the rows of the candidates, as in
        :func:`lookup`.
    """

    vectors: Tensor
    bias: Tensor | None
    space: Space
    sparse: bool = False

    def __len__(self) -> int:
        return len(self.vectors)

    def factors(self, curvature: Tensor | None, squares: Tensor | None = None) -> Tensor:
        """(e, d + 2) whose inner product with a query's factors is z; ``squares`` (e,): the squared norms, if known."""
        squares = self.vectors.square().sum(1) if squares is None else squares
        radial, stretch = (term.unsqueeze(1) for term in self.space.tail_terms(squares, curvature))
        return torch.cat([stretch * self.vectors, radial, torch.ones_like(radial)], 1)

    def query_factors(self, points: Tensor, curvature: Tensor | None) -> Tensor:
        """(b, d + 2) of query points (b, d) of one curvature ()."""
        offset, scale, slope = (term.unsqueeze(1) for term in self.space.query_terms(points, curvature))
        return torch.cat([slope * points, scale, offset], 1)

    def scores_(self, z: Tensor, curvature: Tensor | None, scratch: Tensor, query_bias: Tensor | None = None) -> Tensor:
        """Scores (n, e) of all tails in the place of z, without gradient; ``scratch`` (n, e) is overwritten."""
        scores = self.space.similarity_(z, curvature, scratch)
        if query_bias is not None:
            scores.add_(query_bias.unsqueeze(-1))
        if self.bias is not None:
            scores.add_(self.bias)
        return scores


def similarities(
    inner: Tensor, query_terms: QueryTerms, tail_terms: tuple[Tensor, Tensor], space: Space, curvature: Tensor | None
) -> Tensor:
    """The formula without biases, from inner products <q, t> and the terms of queries and tails, which broadcast."""
    (offset, scale, slope), (radial, stretch) = query_terms, tail_terms
    return space.similarity(torch.addcmul(offset, scale, radial) + slope * stretch * inner, curvature)


def compare(points: Tensor, vectors: Tensor, curvature: Tensor | None, space: Space) -> Tensor:
    """Similarities (...) of query points (..., d) and tail vectors (..., d) that broadcast; no biases.

    ``curvature`` broadcasts against the result.
    """
    inner = torch.einsum("...d,...d->...", points, vectors)
    tail_terms = space.tail_terms(vectors.square().sum(-1), curvature)
    return similarities(inner, space.query_terms(points, curvature), tail_terms, space, curvature)


def candidates(queries: Queries, tails: Tails, ids: Tensor) -> Tensor:
    """Scores (b, c) of the entities ``ids`` (b, c), differentiable in everything."""
    if tails.sparse:  # as if there were no other entities
        own, ids = ids.unique(return_inverse=True)
        bias = None if tails.bias is None else lookup(tails.bias, own, sparse=True)
        tails = replace(tails, vectors=lookup(tails.vectors, own, sparse=True), bias=bias)
    inner, squares = SparseProducts.apply(queries.points, tails.vectors, ids)
    scores = compiled(_candidates)(inner, squares, queries, tails.space)
    if tails.bias is not None:
        scores = scores + tails.bias.index_select(0, ids.flatten()).view_as(scores)
    return scores


def every(queries: Queries, tails: Tails) -> Tensor:
    """Scores (b, e) of all entities, differentiable in everything; holds several such tensors for the backward pass."""
    squares = tails.vectors.square().sum(1).unsqueeze(0)
    scores = compiled(_candidates)(queries.points @ tails.vectors.T, squares, queries, tails.space)
    return scores if tails.bias is None else scores + tails.bias


def _candidates(inner: Tensor, squares: Tensor, queries: Queries, space: Space) -> Tensor:
    """Scores (b, c), without the tails' biases, from inner products (b, c) and squared norms (b, c) or (1, c)."""
    curvature = None if queries.curvature is None else queries.curvature.reshape(-1, 1)
    offset, scale, slope = (term.unsqueeze(-1) for term in space.query_terms(queries.points, queries.curvature))
    scores = similarities(inner, (offset, scale, slope), space.tail_terms(squares, curvature), space, curvature)
    return scores if queries.bias is None else scores + queries.bias.unsqueeze(-1)


def lookup(table: Tensor, ids: Tensor, sparse: bool = False) -> Tensor:
    """Rows ``ids`` (n,) of a table.

    Parameters
    ----------
    sparse
        Its gradient is a sparse tensor of these rows only.
    """
    return _Rows.apply(table, ids) if sparse else table.index_select(0, ids)


@torch.no_grad()
def blocks(queries: Queries, tails: Tails) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (rows, scores (len(rows), e)) until every query is scored; the scores are in a buffer that is reused.

    The scores of equal entities may differ in the last bit, because a matrix product rounds its columns differently.

    Queries are taken in order of curvature, because the tail terms depend on it: with one curvature per relation they
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
        if known is None or not torch.equal(present, known):  # otherwise the terms of the last block hold
            terms = tails.space.tail_terms(squares, distinct[present].unsqueeze(-1))
            known, (radial, stretch) = present, (term.expand(len(present), -1) for term in terms)
        parts = zip(z.split(sizes.tolist()), scale.split(sizes.tolist()), radial, stretch, strict=True)
        for own, own_scale, own_radial, own_stretch in parts:  # rows of one curvature
            own.mul_(own_stretch).addcmul_(own_scale, own_radial)
        curvature = None if part.curvature is None else part.curvature.reshape(-1, 1)
        scores = tails.scores_(z.add_(offset), curvature, scratch[: len(rows)], part.bias)
        if part.masked is not None:
            masking = (part.masked >= 0).nonzero().squeeze(1)
            scores[masking, part.masked[masking]] = MASKED
        yield rows, scores


def top(queries: Queries, tails: Tails, k: int) -> Tensor:
    """Ids (b, k) of the k best entities of each query, the least of them first; all entities where there are fewer."""
    k = min(k, len(tails))
    ids = torch.empty(len(queries), k, dtype=torch.int64, device=queries.points.device)

    def fill(part: Tensor) -> None:
        for rows, scores in blocks(queries[part], tails):
            ids[part[rows]] = largest(scores, k)

    order = queries.by_curvature()[1].argsort(stable=True)
    threads = torch.get_num_threads() if ids.device.type == "cpu" and len(queries) >= THREADED else 1
    in_threads(fill, order.chunk(threads))
    return ids


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
        return torch.sparse_coo_tensor(ids.reshape(1, -1), gradient, ctx.shape, check_invariants=False), None
