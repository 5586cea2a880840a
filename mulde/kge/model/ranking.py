"""Rank counting: the number of candidates that score more than a target, without the scores of all candidates.

A score is f(z) + biases with z an inner product and f monotone (``scoring.py``), so an entity reaches the target's
score v exactly if z reaches f⁻¹(v - bias). Entities are sorted by bias into groups; the largest bias of a group gives
one bound on z for all of it. What remains of a full evaluation is a matrix product and one comparison for each pair; f
itself is computed for the few that pass the bounds, a little more than the rank of the target. Where many pass, as for
a target that the model ranks low, all scores of the query are computed.

A query with several targets is scored once (on FB15k-237 it has nearly two): its bounds are those of the target with
the least score, and what passes is compared with each target.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mulde.kge.model.graph_prior import PriorOfQueries
from mulde.kge.model.scoring import Pairs, Queries, Tails
from mulde.kge.model.threads import in_threads

BLOCK = 1 << 20  # inner products at a time: larger than `scoring.BLOCK`, because little is done to each
GROUPS = 16  # of entities with similar biases, at most
WIDTH = 2400  # entities of a group, at least: numpy compares narrower ones through a buffer, four times as slow
SLACK = 1e-4  # of a score: bounds are too generous by this, far more than f and its inverse lose to rounding
THREADED = 1000  # number of queries from which several threads are faster than one
FEW = 1 / 16  # fraction of the entities up to which scoring them one by one is faster
PAIRS = 1.0  # times the entities: the most comparisons with all targets of a query, which have to fit in memory
SORTED = 32  # targets of a query from which sorting its scores is faster


@dataclass(frozen=True)
class Counted:
    """Counts for some targets, each (n,) int64.

    Parameters
    ----------
    rows
        Numbers of the targets.
    better, tied
        Candidates that score more than, or the same as, the target.
    all
        Candidates other than the target.
    finite
        False if an inner product, a bias or a weight of the graph prior is NaN or infinite; the counts are then
        invalid.
    """

    rows: Tensor
    better: Tensor
    tied: Tensor
    all: Tensor
    finite: bool


@torch.no_grad()
def count_better(
    queries: Queries,
    tails: Tails,
    query_of: Tensor,
    targets: Tensor,
    left_out: Callable[[Tensor], Pairs],
    prior: PriorOfQueries | None = None,
) -> Iterator[Counted]:
    """Count the candidates that score more than each target; on the CPU only.

    Equal to a comparison of all scores up to rounding. Entities with equal vectors and biases are always tied: a matrix
    product may round their columns differently, so the inner products of the first are used for all.

    Parameters
    ----------
    queries
        (q,) each with at least one target. The masked entity of a query is a candidate that scores less than every
        other, also as the target.
    query_of
        (b,) the query of each target.
    targets
        (b,) entity ids. A target is no candidate against itself.
    left_out
        Numbers (n,) of queries -> (positions among them, entities), each pair once, of entities that are no
        candidates; called by several threads.
    prior
        What is added to the scores.
    """
    threads, table = torch.get_num_threads(), _Table.of(tails)
    added = (queries.bias, tails.bias, None if prior is None else prior.prior.weights)
    finite = all(part is None or bool(torch.isfinite(part).all()) for part in added)
    curvatures, group = queries.by_curvature()
    order = (group if prior is None else prior.sorted_by(group)).argsort(stable=True)
    ends = _ends(query_of, len(queries))
    task = _Task(queries, targets, query_of.argsort(stable=True), ends, left_out, prior)

    def count(part: Tensor) -> list[Counted]:
        return list(_count_queries(task, table, curvatures, group, part, finite))

    for part in in_threads(count, order.chunk(threads if len(queries) >= THREADED else 1)):
        yield from part


@dataclass(frozen=True)
class _Task:
    """Queries (q,) and their ``targets`` (b,); the numbers of query q's targets end at ``by_query[ends[q]]``."""

    queries: Queries
    targets: Tensor
    by_query: Tensor
    ends: Tensor
    left_out: Callable[[Tensor], Pairs]
    prior: PriorOfQueries | None

    def targets_of(self, rows: Tensor) -> Pairs:
        """Positions (k,) in ``rows`` (n,) of the queries of all their targets, ascending, and the targets' numbers."""
        position, place = _members(self.ends, rows)
        return position, self.by_query[place]


@torch.no_grad()
def _count_queries(
    task: _Task, table: _Table, curvatures: Tensor, group: Tensor, part: Tensor, finite: bool
) -> Iterator[Counted]:
    """Counts of some queries ``part`` (n,), sorted by the group of their curvature.

    A block may have queries of several curvatures: only the matrix products are made for each curvature. A small graph
    with many relations is one block.
    """
    queries, tails = task.queries, table.tails
    height = max(1, BLOCK // len(tails))
    buffer, scratch = queries.points.new_empty(2, min(height, max(1, len(part))), len(tails))
    passing = np.empty(buffer.shape, dtype=bool)
    copies, originals = table.copies
    known, factors = -1, buffer
    for rows in part.split(height):
        z = buffer[: len(rows)]
        present, sizes = (each.tolist() for each in group[rows].unique_consecutive(return_counts=True))
        for number, own, own_z in zip(present, rows.split(sizes), z.split(sizes), strict=True):
            curvature = None if queries.curvature is None else curvatures[number]
            if number != known:  # otherwise the factors of the last block hold
                known, factors = number, tails.factors(curvature, table.squares)
            torch.mm(tails.query_factors(queries.points[own], curvature), factors.T, out=own_z)
        if len(copies):
            z[:, copies] = z[:, originals]
        z_finite = finite and bool(torch.isfinite(z.sum()))
        of_rows = None if queries.curvature is None else curvatures[group[rows]]
        yield Counted(*_count_block(task, table, of_rows, rows, z, scratch, passing[: len(rows)]), z_finite)


def _count_block(
    task: _Task,
    table: _Table,
    curvature: Tensor | None,
    rows: Tensor,
    z: Tensor,
    scratch: Tensor,
    mask: NDArray[np.bool_],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Targets of a block of queries ``rows`` (n,), and their counts; z, scratch and mask (n, e) are overwritten.

    ``curvature``: (n,), None in flat space.
    """
    prior, entities = task.prior, len(table.order)
    query, numbers = task.targets_of(rows)
    ids = task.targets[numbers]
    target = table.place[ids]
    own = table.scores(z, query, target, curvature)
    if prior is not None:
        own = own + prior.of(rows[query], ids)
    least = own.new_full((len(rows),), torch.inf).scatter_reduce_(0, query, own, "amin")
    table.reaching(z, least if prior is None else least - prior.most(rows), curvature, mask)
    candidates = _leave_out(task, table, rows, query, target, mask)

    targets_each = query.bincount(minlength=len(rows)).numpy()
    most = np.minimum(FEW, PAIRS / targets_each) * entities
    many = np.flatnonzero([np.count_nonzero(row) for row in mask] > most)  # by axis it is slower
    kept, mask[many] = mask[many], False
    place, column = map(torch.from_numpy, np.divmod(np.flatnonzero(mask), entities))
    score = table.scores(z, place, column, curvature)
    if prior is not None:
        score = score + prior.of(rows[place], table.order[column])
    better, tied = _by_pairs(score, column, _ends(place, len(rows)), own, target, query)
    if len(many):  # all scores of these queries, in place of their z
        place = torch.from_numpy(many)
        some = torch.index_select(z, 0, place, out=scratch[: len(many)])
        own_curvature = None if curvature is None else curvature[place].unsqueeze(1)
        scores = table.tails.scores_(some, own_curvature, z[: len(many)])
        if prior is not None:
            prior.add_(scores, rows[place], table.place)
        of_those = _members(_ends(query, len(rows)), place)[1]
        better[of_those], tied[of_those] = _by_rows(scores, kept, targets_each[many], target[of_those])
    if task.queries.masked is not None:
        loses = task.queries.masked[rows[query]] == ids
        better, tied = torch.where(loses, candidates, better), tied.masked_fill(loses, 0)
    return numbers, better, tied, candidates


def _leave_out(
    task: _Task, table: _Table, rows: Tensor, query: Tensor, target: Tensor, mask: NDArray[np.bool_]
) -> Tensor:
    """Remove all but candidates from the mask (n, e); returns the number of candidates of each target (k,)."""
    targets = query.numpy(), target.numpy()
    mask[targets] = True  # independent of the bounds
    out, ids = task.left_out(rows)
    mask[out.numpy(), table.place[ids].numpy()] = False
    others_left_out = out.bincount(minlength=len(rows))[query] - torch.from_numpy(~mask[targets]).long()
    if task.queries.masked is not None:
        masked = task.queries.masked[rows]
        masking = (masked >= 0).nonzero().squeeze(1)
        mask[masking.numpy(), table.place[masked[masking]].numpy()] = False
    return len(table.order) - 1 - others_left_out


def _by_pairs(score: Tensor, column: Tensor, ends: Tensor, own: Tensor, target: Tensor, query: Tensor) -> Pairs:
    """Better and tied (k,) among those that passed: scores and columns (p,) by query, whose last one is at ``ends``."""
    number, pair = _members(ends, query)  # every target beside all that passed for its query
    score, other = score[pair], column[pair] != target[number]
    better, tied = (
        number[passed & other].bincount(minlength=len(query)) for passed in (score > own[number], score == own[number])
    )
    return better, tied


def _by_rows(scores: Tensor, kept: NDArray[np.bool_], sizes: NDArray[np.int64], target: Tensor) -> Pairs:
    """Better and tied (k,) among the ``kept`` columns of scores (n, e); ``sizes`` (n,): targets of each row."""
    row = np.repeat(np.arange(len(sizes)), sizes)
    found, columns = scores.numpy(), target.numpy()
    own, itself = found[row, columns], kept[row, columns]
    better, tied = np.empty((2, len(own)), dtype=np.int64)
    for number, start, size in zip(range(len(sizes)), np.cumsum(sizes) - sizes, sizes, strict=True):
        mine = slice(start, start + size)
        if size >= SORTED:
            rising = np.sort(found[number][kept[number]])
            below, up_to = (np.searchsorted(rising, own[mine], side) for side in ("left", "right"))
            better[mine], tied[mine] = len(rising) - up_to, up_to - below
            continue
        for i in range(start, start + size):
            better[i], tied[i] = (
                np.count_nonzero(outcome(found[number], own[i]) & kept[number]) for outcome in (np.greater, np.equal)
            )
    return torch.from_numpy(better), torch.from_numpy(tied - itself)  # each is tied with itself


def _ends(owner: Tensor, count: int) -> Tensor:
    """Where the members (b,) of each of ``count`` owners end when they are sorted by owner."""
    return owner.bincount(minlength=count).cumsum(0)


def _members(ends: Tensor, owners: Tensor) -> Pairs:
    """The members of some owners (n,), given where each one's end: positions (k,) in ``owners``, and places (k,).

    Where the first owner has two members and the second three, ends [2, 5], those of the owners [1, 0] are at the
    places [2, 3, 4, 0, 1], and belong to the positions [0, 0, 0, 1, 1].
    """
    stops = ends[owners]
    counts = stops - torch.where(owners > 0, ends[owners - 1], 0)
    position = torch.arange(len(owners)).repeat_interleave(counts)
    return position, torch.arange(len(position)) + (stops - counts.cumsum(0))[position]


def _copies(vectors: Tensor, squares: Tensor) -> Pairs:
    """Rows (k,) of vectors (e, d) that are equal to an earlier one, and the first such row of each."""
    order = squares.argsort()  # equal vectors have equal squares
    again = squares[order].diff() == 0
    rows = order[functional.pad(again, (1, 0)) | functional.pad(again, (0, 1))]
    _, group = vectors[rows].unique(dim=0, return_inverse=True)
    first = rows.new_full((len(rows),), len(vectors)).scatter_reduce_(0, group, rows, "amin")[group]
    return rows[first != rows], first[first != rows]


@dataclass(frozen=True)
class _Table:
    """Entities sorted by bias: ``tails`` in this ``order``, and the ``place`` (e,) of each entity in it.

    ``copies``: places (k,) of vectors that are equal to an earlier one, and the place of the first such vector.
    """

    tails: Tails
    order: Tensor
    place: Tensor
    bias: Tensor
    squares: Tensor
    copies: Pairs
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
        squares = tails.vectors.square().sum(1)
        return _Table(tails, order, place, bias[order], squares, _copies(tails.vectors, squares), groups)

    def scores(self, z: Tensor, row: Tensor, column: Tensor, curvature: Tensor | None) -> Tensor:
        """Scores (k,) of some pairs of a block of z (n, e), without the bias of the query; ``curvature`` (n,)."""
        of_pairs = None if curvature is None else curvature[row]
        return self.tails.space.similarity(z[row, column], of_pairs) + self.bias[column]

    def reaching(self, z: Tensor, own: Tensor, curvature: Tensor | None, out: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which pairs (n, e) may reach the scores ``own`` (n,); ``curvature`` (n,)."""
        largest = self.bias[[each.stop - 1 for each in self.groups]]
        bounds = own.unsqueeze(1) - largest
        bounds -= SLACK * (1 + bounds.abs())
        limits = self.tails.space.reach(bounds, None if curvature is None else curvature.unsqueeze(1)).numpy()
        compare = np.greater_equal if self.tails.space.increasing else np.less_equal
        found = z.numpy()
        for place, columns in enumerate(self.groups):
            compare(found[:, columns], limits[:, place : place + 1], out=out[:, columns])
        return out
