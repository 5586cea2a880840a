"""Cross entropy over all entities, for labels that name a few of them: loss and gradient in one pass, row by row.

    loss = Σ_n w_n (log Σ_e exp s(b_n, e) - s(b_n, e_n)),    (b_n, e_n, w_n) the labels

With one label per query this is the 1-vs-all loss. With all answers of a query as labels, each of weight one, it is
the same sum over training triples, but each distinct query is scored once instead of once per answer. With a teacher's
probabilities as weights it is a soft loss.

No matrix of shape (b, e) is kept: a block of rows is scored, turned into its gradient while it is in the cache, and
multiplied into the gradients of queries and tails. A tail's terms, its bias apart, ride in the same matrix product as
two further columns, which needs one curvature for all queries of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mulde.kge.model.compilation import fused
from mulde.kge.model.config import MatmulPrecision
from mulde.kge.model.scoring import BLOCK, Pairs, Queries, Tails

LEAST_ROWS = 24  # of a block: matrix products of fewer rows are slow
LEFT_OUT = -1e30  # a score so low that its exponential is zero


@dataclass(frozen=True)
class Labels:
    """Weighted pairs of a query and an entity.

    ``rows`` (n,) ascending positions in the batch, ``ids`` (n,), and ``weights`` (n,), which also make the reduction:
    a mean over queries has weights that sum to 1. ``others``: the pairs that are left out do not take part in the
    softmax, for example known answers when only the order of the other entities is to be learned.
    """

    rows: Tensor
    ids: Tensor
    weights: Tensor
    others: bool = False


def full_cross_entropy(
    queries: Queries,
    tails: Tails,
    *labels: Labels,
    left_out: Pairs | None = None,
    matmul_precision: MatmulPrecision = "float32",
) -> tuple[Tensor, Tensor]:
    """The sum () of the losses above over all sets of labels, and each of them (k,) without gradient: one pass.

    Differentiable in points, curvature, vectors and biases of the tails; a query's bias cancels. ``left_out``: rows,
    ascending, and ids (n,), no pair twice, that do not compete where labels say ``others``. ``matmul_precision``: bfloat16 lets
    torch round what goes into the three matrix products, not what comes out, on processors with matrix units. On others
    it changes nothing: with AVX-512 alone torch 2.14 would not round, and multiply by a slower library.

    Raises
    ------
    ValueError
        Where every query has a curvature of its own.
    """
    curvature = queries.curvature
    if curvature is not None and curvature.dim():
        raise ValueError(
            "the cross entropy over all entities needs one curvature for all queries; got one per query; give the "
            'model curvature="global" or "fixed"'
        )
    points, vectors = tails.query_factors(queries.points, curvature), tails.factors(curvature)
    bias = vectors.new_zeros(len(vectors)) if tails.bias is None else tails.bias
    one = vectors.new_ones(()) if curvature is None else curvature
    nobody = torch.empty(0, dtype=torch.int64, device=vectors.device)
    with _rounded(matmul_precision == "bfloat16" and (not points.is_cpu or _has_matrix_units())):
        total, losses = _FullCrossEntropy.apply(points, vectors, bias, one, labels, left_out or (nobody, nobody), tails)
    return total, losses


def _has_matrix_units() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32; where torch does not tell, it may."""
    found: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("amx_bf16", True))


@contextmanager
def _rounded(wanted: bool) -> Iterator[None]:
    """torch's own switch for the precision inside float32 products, set back afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if wanted else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _FullCrossEntropy(torch.autograd.Function):
    """z = points · vectorsᵀ, s = similarity(z) + bias; gradients are made in the forward pass, where s is at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        vectors: Tensor,
        bias: Tensor,
        curvature: Tensor,
        labels: Sequence[Labels],
        left_out: Pairs,
        tails: Tails,
    ) -> tuple[Tensor, Tensor]:
        # a block in the cache; but not so low that the gradient of all tails, written once per block, outweighs it
        threads = torch.get_num_threads() if points.is_cpu else 1
        height = max(threads * BLOCK // len(vectors), vectors.shape[1] // 2, LEAST_ROWS)
        to_points, to_vectors, to_bias = torch.empty_like(points), torch.zeros_like(vectors), torch.zeros_like(bias)
        by_score, losses = points.new_zeros(()), points.new_zeros(len(labels))
        buffer = points.new_empty(min(height, len(points)), len(vectors))
        for rows, own, others in _blocks(labels, left_out, len(points), height):
            z = torch.mm(points[rows], vectors.T, out=buffer[: rows.stop - rows.start])
            scores, slope = fused(_scores)(z, bias, curvature, tails.space, tails.artanh_limit)
            to_z, in_score, found = _softmax_losses(scores, slope, own, others, to_bias)
            by_score += in_score
            losses += found
            torch.mm(to_z, vectors, out=to_points[rows])
            to_vectors.addmm_(to_z.T, points[rows])
        # s = f(cz)/c, so at fixed z  ds/dc = (z ds/dz - s)/c, and Σ z dL/dz = <points, dL/dpoints>
        to_curvature = ((points * to_points).sum() - (by_score - (to_bias * bias).sum())) / curvature
        ctx.save_for_backward(to_points, to_vectors, to_bias, to_curvature)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * part for part in ctx.saved_tensors), None, None, None


def _blocks(
    labels: Sequence[Labels], left_out: Pairs, count: int, height: int
) -> Iterator[tuple[slice, list[Labels], Pairs]]:
    """Rows of the batch, what each set of labels says of them, and who is left out; all count from the first row."""
    edges = [*range(0, count, height), count]
    at = torch.tensor(edges, device=left_out[0].device)
    label_ends = [torch.searchsorted(each.rows, at).tolist() for each in labels]
    left_ends = torch.searchsorted(left_out[0], at).tolist()
    for i, (start, stop) in enumerate(itertools.pairwise(edges)):
        own = []
        for each, ends in zip(labels, label_ends, strict=True):
            some = slice(ends[i], ends[i + 1])
            own.append(Labels(each.rows[some] - start, each.ids[some], each.weights[some], each.others))
        some = slice(left_ends[i], left_ends[i + 1])
        yield slice(start, stop), own, (left_out[0][some] - start, left_out[1][some])


def _scores(
    z: Tensor, bias: Tensor, curvature: Tensor, space: ModuleType, artanh_limit: float | None
) -> tuple[Tensor, Tensor | float]:
    """Scores of a block of inner products z (n, e), which is overwritten, and their derivative by z."""
    scores, slope = space.similarity_slope_(z, curvature, artanh_limit)
    return scores.add_(bias), slope


def _softmax_losses(
    scores: Tensor, slope: Tensor | float, labels: Sequence[Labels], left_out: Pairs, to_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dz (n, e), Σ s dL/ds and the losses (k,) of a block of scores (n, e) and their slope, which are overwritten.

    The gradient by the biases (e,) is added to what is there. One exponential serves all sets of labels: pairs that are
    left out get none, and are added to the sums of those sets in which they compete.
    """
    flat, entities = scores.view(-1), scores.shape[1]
    rows, ids = [*(each.rows for each in labels), left_out[0]], [*(each.ids for each in labels), left_out[1]]
    places = torch.cat(rows) * entities + torch.cat(ids)
    own, steepness = flat[places], slope.view(-1)[places] if isinstance(slope, Tensor) else slope
    *chosen, kept = own.split([len(each) for each in rows])
    flat[places[len(places) - len(kept) :]] = LEFT_OUT
    share, highest, total, by_share = fused(_shares)(scores, slope)
    peak = highest.scatter_reduce(0, left_out[0], kept, "amax")
    kept_share = (kept - peak[left_out[0]]).exp()
    everyone = (total * (highest - peak).exp()).index_add_(0, left_out[0], kept_share)

    factor, expected, losses = torch.zeros_like(highest), torch.zeros_like(kept), []
    for each, own_scores in zip(labels, chosen, strict=True):
        mass = torch.zeros_like(highest).index_add_(0, each.rows, each.weights)
        # a query without labels may leave out everybody
        top, among = (highest, total.where(mass != 0, 1)) if each.others else (peak, everyone)
        losses.append(torch.dot(mass, top + among.log()) - torch.dot(each.weights, own_scores))
        mass /= among  # and not exp(-log among), which loses digits where scores are large
        factor += mass * (highest - top).exp()
        if not each.others:
            expected += mass[left_out[0]] * kept_share

    to_bias.addmv_(share.T, factor)
    # where the slope is a matrix, `_shares` made it share times slope
    to_z = slope.mul_(factor.unsqueeze(1)) if isinstance(slope, Tensor) else share.mul_(slope * factor.unsqueeze(1))
    single = torch.cat([*(-each.weights for each in labels), expected])  # gradients by the scores at these places
    to_z.view(-1).index_add_(0, places, single * steepness)
    to_bias.index_add_(0, torch.cat(ids), single)
    return to_z, torch.dot(factor, by_share) + torch.dot(single, own), torch.stack(losses)


def _shares(scores: Tensor, slope: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """exp(s - highest) (n, e); of each row (n,) the highest score, the sum, and Σ s exp(s - highest).

    A slope that is a matrix is multiplied by the first, in place.
    """
    highest = scores.amax(1).clamp_min(LEFT_OUT / 2)  # so that nobody has a share where all are left out
    share = (scores - highest.unsqueeze(1)).exp_()
    if isinstance(slope, Tensor):
        slope.mul_(share)
    return share, highest, share.sum(1), (share * scores).sum(1)
