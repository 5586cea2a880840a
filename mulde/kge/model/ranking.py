"""Counting who outscores a target without scoring everything: the inner loop of every evaluation.

A score is f(z) + biases with z an inner product and f monotone (``tails.py``), so an entity reaches the target's score
v exactly if z reaches f⁻¹(v - bias). Entities are sorted by bias into groups; the largest bias of a group gives all of
it one bound on z. What remains of a full evaluation is a matrix product and one comparison for each pair; f itself is
computed for the few that pass, a little more than the rank of the target. Where many pass, as for a target that the
model ranks low, all scores of the query are computed after all.

A query is asked once for all of its targets (on FB15k-237 they are nearly two): its bounds are those of the target that
scores least, and what passes is compared with each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mulde.kge.model.graph_prior import Facts
from mulde.kge.model.scoring import Pairs, Queries, Tails
from mulde.kge.model.threads import spread

BLOCK = 1 << 20  # inner products at a time: fewer, larger steps than `tails.BLOCK`, because little is done to each
GROUPS = 16  # of entities with like biases, at most
WIDTH = 2400  # entities of a group, at least: numpy compares narrower ones through a buffer, four times as slow
SLACK = 1e-4  # of a score: bounds are this much too generous, far more than f and its inverse lose to rounding
AT_ONCE = 1000  # queries from which on several threads are worth their start
FEW = 1 / 16  # share of the entities up to which it pays to score them one by one
PAIRS = 1.0  # times the entities: so many comparisons with all targets of a query at most, as memory has to hold them
SORTED = 32  # targets of a query from which on it pays to sort its scores


@dataclass(frozen=True)
class Counted:
    """``rows`` (n,) numbers of targets; of the competitors of each ``better`` and ``tied`` (n,) and ``all``, int64.

    ``finite``: False if an inner product, a bias or a weight of the facts is NaN or infinite; then counts mean nothing.
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
    asked: Tensor,
    targets: Tensor,
    left_out: Callable[[Tensor], Pairs],
    facts: Facts | None = None,
) -> Iterator[Counted]:
    """How many entities score more than each target (b,) as answers to the query ``asked`` (b,); on the CPU only.

    left_out: numbers (n,) of queries -> (positions among them, entities), each pair once, of those that do not compete;
    called by several threads. The target never competes. What a query bars competes and loses, also as the target.
    ``facts``: what is added to the scores. Every query needs a target. Equal to a comparison of all scores but for
    rounding: a matrix product may round equal entities differently.
    """
    threads, table = torch.get_num_threads(), _Table.of(tails)
    added = (queries.bias, tails.bias, None if facts is None else facts.prior.weights)
    sound = all(part is None or bool(torch.isfinite(part).all()) for part in added)
    curvatures, group = queries.by_curvature()
    order = (group if facts is None else facts.sorted_by(group)).argsort(stable=True)
    questions = _Questions.of(queries, asked, targets, left_out, facts)

    def counted(part: Tensor) -> list[Counted]:
        return list(_counted(questions, table, curvatures, group, part, sound))

    for part in spread(counted, order.chunk(threads if len(queries) >= AT_ONCE else 1)):
        yield from part


@dataclass(frozen=True)
class _Questions:
    """Queries (q,) and their ``targets`` (b,); the numbers of query q's targets end at ``by_query[ends[q]]``."""

    queries: Queries
    targets: Tensor
    by_query: Tensor
    ends: Tensor
    left_out: Callable[[Tensor], Pairs]
    facts: Facts | None

    @staticmethod
    def of(
        queries: Queries, asked: Tensor, targets: Tensor, left_out: Callable[[Tensor], Pairs], facts: Facts | None
    ) -> _Questions:
        return _Questions(queries, targets, asked.argsort(stable=True), _ends(asked, len(queries)), left_out, facts)

    def targets_of(self, rows: Tensor) -> Pairs:
        """Positions (k,) in ``rows`` (n,) of the queries of all their targets, ascending, and the targets' numbers."""
        position, place = _members(self.ends, rows)
        return position, self.by_query[place]


@torch.no_grad()
def _counted(
    questions: _Questions, table: _Table, curvatures: Tensor, group: Tensor, part: Tensor, sound: bool
) -> Iterator[Counted]:
    """The counts of some queries ``part`` (n,), those of one curvature beside each other."""
    queries, tails = questions.queries, table.tails
    height = max(1, BLOCK // len(tails))
    buffer, scratch = queries.points.new_empty(2, min(height, max(1, len(part))), len(tails))
    passing = np.empty(buffer.shape, dtype=bool)
    present, sizes = group[part].unique_consecutive(return_counts=True)
    for number, own_rows in zip(present.tolist(), part.split(sizes.tolist()), strict=True):
        curvature = None if queries.curvature is None else curvatures[number]
        vectors = tails.factors(curvature, table.squares)
        for rows in own_rows.split(height):
            points = tails.query_factors(queries.points[rows], curvature)
            z = torch.mm(points, vectors.T, out=buffer[: len(rows)])
            finite = sound and bool(torch.isfinite(z.sum()))
            yield Counted(*_count(questions, table, curvature, rows, z, scratch, passing[: len(rows)]), finite)


def _count(
    questions: _Questions,
    table: _Table,
    curvature: Tensor | None,
    rows: Tensor,
    z: Tensor,
    scratch: Tensor,
    mask: NDArray[np.bool_],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Targets of a block of queries ``rows`` (n,), and their counts; z, scratch and mask (n, e) are written to."""
    facts, entities = questions.facts, len(table.order)
    query, numbers = questions.targets_of(rows)
    ids = questions.targets[numbers]
    target = table.place[ids]
    own = table.scores(z, query, target, curvature)
    if facts is not None:
        own = own + facts.of(rows[query], ids)
    least = own.new_full((len(rows),), torch.inf).scatter_reduce_(0, query, own, "amin")
    table.reaching(z, least if facts is None else least - facts.most(rows), curvature, mask)
    competing = _leave_out(questions, table, rows, query, target, mask)

    targets_each = query.bincount(minlength=len(rows)).numpy()
    most = np.minimum(FEW, PAIRS / targets_each) * entities
    many = np.flatnonzero([np.count_nonzero(row) for row in mask] > most)  # by axis it is slower
    kept, mask[many] = mask[many], False
    place, column = map(torch.from_numpy, np.divmod(np.flatnonzero(mask), entities))
    score = table.scores(z, place, column, curvature)
    if facts is not None:
        score = score + facts.of(rows[place], table.order[column])
    better, tied = _by_pairs(score, column, _ends(place, len(rows)), own, target, query)
    if len(many):  # all scores of these queries, in place of their z
        place = torch.from_numpy(many)
        some = torch.index_select(z, 0, place, out=scratch[: len(many)])
        scores = table.all_scores(some, curvature, z[: len(many)])
        if facts is not None:
            facts.add_(scores, rows[place], table.place)
        of_those = _members(_ends(query, len(rows)), place)[1]
        better[of_those], tied[of_those] = _by_rows(scores, kept, targets_each[many], target[of_those])
    if questions.queries.masked is not None:
        loses = questions.queries.masked[rows[query]] == ids
        better, tied = torch.where(loses, competing, better), tied.masked_fill(loses, 0)
    return numbers, better, tied, competing


def _leave_out(
    questions: _Questions, table: _Table, rows: Tensor, query: Tensor, target: Tensor, mask: NDArray[np.bool_]
) -> Tensor:
    """Strike those that cannot be better from the mask (n, e); returns how many compete with each target (k,)."""
    targets = query.numpy(), target.numpy()
    mask[targets] = True  # whatever the bounds say
    out, ids = questions.left_out(rows)
    mask[out.numpy(), table.place[ids].numpy()] = False
    others_left_out = out.bincount(minlength=len(rows))[query] - torch.from_numpy(~mask[targets]).long()
    if questions.queries.masked is not None:
        masked = questions.queries.masked[rows]
        barring = (masked >= 0).nonzero().squeeze(1)
        mask[barring.numpy(), table.place[masked[barring]].numpy()] = False
    return len(table.order) - 1 - others_left_out


def _by_pairs(score: Tensor, column: Tensor, ends: Tensor, own: Tensor, target: Tensor, query: Tensor) -> Pairs:
    """Better and tied (k,) among those that passed: scores and columns (p,) by query, whose last one is at ``ends``."""
    number, pair = _members(ends, query)  # every target beside all that passed for its query
    score, rival = score[pair], column[pair] != target[number]
    better, tied = (
        number[passed & rival].bincount(minlength=len(query)) for passed in (score > own[number], score == own[number])
    )
    return better, tied


def _by_rows(scores: Tensor, kept: NDArray[np.bool_], sizes: NDArray[np.int64], target: Tensor) -> Pairs:
    """Better and tied (k,) among the columns of scores (n, e) that are ``kept``; so many targets has each row."""
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
    """Where the members (b,) of each of so many owners end when they are sorted by owner."""
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
