"""Counting who outscores a target without scoring everything: the inner loop of every evaluation.

A score is f(z) + biases with z an inner product and f monotone (``tails.py``), so an entity reaches the target's score
v exactly if z reaches f⁻¹(v - bias). Entities are sorted by bias into groups; the largest bias of a group gives all of
it one bound on z. What remains of a full evaluation is a matrix product and one comparison for each pair; f itself is
computed for the few that pass, a little more than the rank of the target. Where many pass, as for a target that the
model ranks low, all scores of the query are computed after all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mulde.scorers.closed_world import Facts
from mulde.scorers.tails import Queries, Tails
from mulde.scorers.threads import spread

BLOCK = 1 << 20  # inner products at a time: fewer, larger steps than `tails.BLOCK`, because little is done to each
GROUPS = 16  # of entities with like biases, at most
WIDTH = 2400  # entities of a group, at least: numpy compares narrower ones through a buffer, four times as slow
SLACK = 1e-4  # of a score: bounds are this much too generous, far more than f and its inverse lose to rounding
AT_ONCE = 1000  # queries from which on several threads are worth their start
FEW = 1 / 16  # share of the entities up to which it pays to score them one by one

Pairs = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Counted:
    """``rows`` (n,) numbers of queries; of each target's competitors ``better`` and ``tied`` (n,) and ``all``, int64.

    ``finite``: False if an inner product or a bias is NaN or infinite; then the counts mean nothing.
    """

    rows: Tensor
    better: Tensor
    tied: Tensor
    all: Tensor
    finite: bool


@torch.no_grad()
def competitors(
    queries: Queries,
    tails: Tails,
    targets: Tensor,
    left_out: Callable[[Tensor], Pairs],
    facts: Facts | None = None,
) -> Iterator[Counted]:
    """How many entities score more than the target (b,) of each query, and how many the same; on the CPU only.

    left_out: numbers (n,) of queries -> (positions among them, entities) of those that do not compete. The target
    never does. What a query bars competes and loses, also as the target. ``facts``: what is added to the scores.
    """
    threads, table = torch.get_num_threads(), _Table.of(tails)
    sound = all(bias is None or bool(torch.isfinite(bias).all()) for bias in (queries.bias, tails.bias))
    curvatures, group = queries.by_curvature()
    order = (group if facts is None else facts.sorted_by(group)).argsort(stable=True)

    def counted(part: Tensor) -> list[Counted]:
        return list(_counted(queries, table, targets, left_out, facts, curvatures, group, part, sound))

    for part in spread(counted, order.chunk(threads if len(queries) >= AT_ONCE else 1)):
        yield from part


@torch.no_grad()
def _counted(
    queries: Queries,
    table: _Table,
    targets: Tensor,
    left_out: Callable[[Tensor], Pairs],
    facts: Facts | None,
    curvatures: Tensor,
    group: Tensor,
    part: Tensor,
    sound: bool,
) -> Iterator[Counted]:
    """The counts of some queries ``part`` (n,), those of one curvature beside each other."""
    tails = table.tails
    height = max(1, BLOCK // len(tails))
    buffer, scratch = queries.points.new_empty(2, min(height, max(1, len(part))), len(tails))
    passing = np.empty(buffer.shape, dtype=bool)
    present, sizes = group[part].unique_consecutive(return_counts=True)
    for number, own_rows in zip(present.tolist(), part.split(sizes.tolist()), strict=True):
        curvature = None if queries.curvature is None else curvatures[number]
        vectors = table.tails.factors(curvature, table.squares)
        for rows in own_rows.split(height):
            points = tails.query_factors(queries.points[rows], curvature)
            z = torch.mm(points, vectors.T, out=buffer[: len(rows)])
            finite = sound and bool(torch.isfinite(z.sum()))
            every, target = torch.arange(len(rows)), table.place[targets[rows]]
            own = table.scores(z, every, target, curvature)
            least = own
            if facts is not None:
                own = own + facts.of(rows, targets[rows])
                least = own - facts.most(rows)
            mask = table.reaching(z, least, curvature, passing[: len(rows)])
            out, ids = left_out(rows)
            mask[out.numpy(), table.place[ids].numpy()] = False
            mask[every.numpy(), target.numpy()] = False
            if (barred := None if queries.barred is None else queries.barred[rows]) is not None:
                barring = (barred >= 0).nonzero().squeeze(1)
                mask[barring.numpy(), table.place[barred[barring]].numpy()] = False
            many = np.flatnonzero([np.count_nonzero(row) > FEW * len(tails) for row in mask])  # by axis it is slower
            kept, mask[many] = mask[many], False
            row, column = map(torch.from_numpy, np.divmod(np.flatnonzero(mask), len(tails)))
            score = table.scores(z, row, column, curvature)
            if facts is not None:
                score = score + facts.of(rows[row], table.order[column])
            better, tied = (
                row[passed].bincount(minlength=len(rows)) for passed in (score > own[row], score == own[row])
            )
            if len(many):  # all scores of these rows, in place of their z
                place = torch.from_numpy(many)
                some = torch.index_select(z, 0, place, out=scratch[: len(many)])
                scores = table.all_scores(some, curvature, z[: len(many)])
                if facts is not None:
                    facts.add_(scores, rows[place], table.place)
                own = scores.gather(1, target[place].unsqueeze(1))
                better[place], tied[place] = (
                    torch.from_numpy(np.count_nonzero(outcome(scores.numpy(), own.numpy()) & kept, 1))
                    for outcome in (np.greater, np.equal)
                )
            gone = out[ids != targets[rows][out]].bincount(minlength=len(rows))
            competing = len(tails) - 1 - gone
            if barred is not None:
                loses = barred == targets[rows]
                better, tied = torch.where(loses, competing, better), tied.masked_fill(loses, 0)
            yield Counted(rows, better, tied, competing, finite)


@dataclass(frozen=True)
class _Table:
    """Entities in order of their bias: ``tails`` in this ``order``, and ``place`` (e,) where each one stands."""

    tails: Tails
    order: Tensor
    place: Tensor
    bias: Tensor
    squares: Tensor
    groups: list[slice]

    @staticmethod
    def of(tails: Tails) -> _Table:
        count = len(tails)
        bias = tails.vectors.new_zeros(count) if tails.bias is None else tails.bias.detach()
        order = bias.argsort()
        place = torch.empty_like(order)
        place[order] = torch.arange(count)
        many = max(1, min(GROUPS, count // WIDTH))
        edges = [count * i // many for i in range(many + 1)]
        groups = [slice(*ends) for ends in itertools.pairwise(edges)]
        tails = replace(tails, vectors=tails.vectors.detach()[order], bias=bias[order])
        return _Table(tails, order, place, bias[order], tails.vectors.square().sum(1), groups)

    def scores(self, z: Tensor, row: Tensor, column: Tensor, curvature: Tensor | None) -> Tensor:
        """Scores (k,) of some pairs of a block of z (n, e), without the bias of the query."""
        found: Tensor = self.tails.space.similarity(z[row, column], curvature, self.tails.artanh_limit)
        return found + self.bias[column]

    def all_scores(self, z: Tensor, curvature: Tensor | None, scratch: Tensor) -> Tensor:
        """Scores (n, e) in the place of z."""
        found: Tensor = self.tails.space.similarity_(z, curvature, self.tails.artanh_limit, scratch)
        return found.add_(self.bias)

    def reaching(self, z: Tensor, own: Tensor, curvature: Tensor | None, out: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pairs (n, e) may reach the scores ``own`` (n,)."""
        largest = self.bias[[each.stop - 1 for each in self.groups]]
        bounds = own.unsqueeze(1) - largest
        bounds -= SLACK * (1 + bounds.abs())
        limits = self.tails.space.reach(bounds, curvature, self.tails.artanh_limit).numpy()
        compare = np.less_equal if self.tails.space.FALLING else np.greater_equal
        found = z.numpy()
        for place, columns in enumerate(self.groups):
            compare(found[:, columns], limits[:, place : place + 1], out=out[:, columns])
        return out
