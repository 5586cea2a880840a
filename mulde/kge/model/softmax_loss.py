"""Cross entropy over all entities, for labels that name a few of them: loss and gradient in one pass, row by row.

    loss = Σ_n w_n (log Σ_e exp s(b_n, e) - s(b_n, e_n)),    (b_n, e_n, w_n) the labels

With one label per query this is the 1-vs-all loss. With all answers of a query as labels, each of weight one, it is
the same sum over training triples, but each distinct query is scored once instead of once per answer. With a teacher's
probabilities as weights it is a soft loss.

No matrix of shape (b, e) is kept: a block of rows is scored, turned into its gradient while it is in the cache, and
multiplied into the gradients of queries and tails. The terms of a tail are two further columns of the same matrix
product (`scoring.Tails.factors`), which needs one curvature for all queries of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mulde.errors import UsageError
from mulde.geometry.spaces import Space
from mulde.kge.model.compilation import compiled
from mulde.kge.model.config import MatmulPrecision
from mulde.kge.model.scoring import BLOCK, Pairs, Queries, Tails

MIN_ROWS = 24  # of a block: matrix products of fewer rows are slow
LEFT_OUT = -1e30  # a score so low that its exponential is zero


@dataclass(frozen=True)
class Labels:
    """Weighted pairs of a query and an entity.

    Parameters
    ----------
    rows
        (n,) positions in the batch, ascending.
    ids
        (n,) entities.
    weights
        (n,) weights, which also define the reduction: for a mean over queries they sum to 1.
    others
        Whether the softmax is over the entities that are not left out, for example over all but the known answers.
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
    """Compute the loss above for several sets of labels in one pass.

    Differentiable in points, curvature, vectors and biases of the tails; the bias of a query cancels.

    Parameters
    ----------
    queries
        (b,) with one curvature for all.
    left_out
        Rows, ascending, and ids (n,), each pair once, that are not in the softmax of labels with ``others``.
    matmul_precision
        With bfloat16 torch may round the inputs of the three matrix products, not their results, on processors with
        matrix units. Elsewhere it has no effect: with AVX-512 only, torch 2.14 does not round, but multiplies by a
        slower library.

    Returns
    -------
    The sum () over the sets, and the loss of each set (k,) without gradient.

    Raises
    ------
    UsageError
        Where every query has a curvature of its own.
    """
    curvature = queries.curvature
    if curvature is not None and curvature.dim():
        raise UsageError(
            "the cross entropy over all entities needs one curvature for all queries; got one per query; give the "
            'model curvature="global" or "fixed"'
        )
    points, vectors = tails.query_factors(queries.points, curvature), tails.factors(curvature)
    bias = vectors.new_zeros(len(vectors)) if tails.bias is None else tails.bias
    one = vectors.new_ones(()) if curvature is None else curvature
    none = torch.empty(0, dtype=torch.int64, device=vectors.device)
    with _matmul_rounding(matmul_precision == "bfloat16" and (not points.is_cpu or _has_matrix_units())):
        total, losses = _FullCrossEntropy.apply(points, vectors, bias, one, labels, left_out or (none, none), tails)
    return total, losses


def _has_matrix_units() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32; True where torch does not report it."""
    found: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("amx_bf16", True))


@contextmanager
def _matmul_rounding(wanted: bool) -> Iterator[None]:
    """Set torch's precision inside float32 matrix products, and restore it afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if wanted else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _FullCrossEntropy(torch.autograd.Function):
    """z = points · vectorsᵀ, s = similarity(z) + bias; gradients are computed in the forward pass, which has s."""

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
        # a block fits the cache, but has enough rows to outweigh the gradient of all tails, written once per block
        threads = torch.get_num_threads() if points.is_cpu else 1
        height = max(threads * BLOCK // len(vectors), vectors.shape[1] // 2, MIN_ROWS)
        to_points, to_vectors, to_bias = torch.empty_like(points), torch.zeros_like(vectors), torch.zeros_like(bias)
        by_score, losses = points.new_zeros(()), points.new_zeros(len(labels))
        buffer = points.new_empty(min(height, len(points)), len(vectors))
        for rows, own, others in _blocks(labels, left_out, len(points), height):
            z = torch.mm(points[rows], vectors.T, out=buffer[: rows.stop - rows.start])
            scores, slope = compiled(_scores)(z, bias, curvature, tails.space)
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
    """Rows of the batch, their labels in each set, and the pairs left out; positions count from the first row."""
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


def _scores(z: Tensor, bias: Tensor, curvature: Tensor, space: Space) -> tuple[Tensor, Tensor | float]:
    """Scores of a block of inner products z (n, e), which is overwritten, and their derivative by z."""
    scores, slope = space.similarity_slope_(z, curvature)
    return scores.add_(bias), slope


def _softmax_losses(
    scores: Tensor, slope: Tensor | float, labels: Sequence[Labels], left_out: Pairs, to_bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dz (n, e), Σ s dL/ds and the losses (k,) of a block of scores (n, e) and their slope, which are overwritten.

    The gradient by the biases (e,) is added to ``to_bias``. One exponential serves all sets of labels: it omits the
    pairs that are left out, which are added to the sums of the sets that include them.
    """
    flat, entities = scores.view(-1), scores.shape[1]
    rows, ids = [*(each.rows for each in labels), left_out[0]], [*(each.ids for each in labels), left_out[1]]
    places = torch.cat(rows) * entities + torch.cat(ids)
    own, steepness = flat[places], slope.view(-1)[places] if isinstance(slope, Tensor) else slope
    *chosen, kept = own.split([len(each) for each in rows])
    flat[places[len(places) - len(kept) :]] = LEFT_OUT
    exponentials, highest, total, weighted = compiled(_exponentials)(scores, slope)
    peak = highest.scatter_reduce(0, left_out[0], kept, "amax")
    kept_share = (kept - peak[left_out[0]]).exp()
    everyone = (total * (highest - peak).exp()).index_add_(0, left_out[0], kept_share)

    factor, expected, losses = torch.zeros_like(highest), torch.zeros_like(kept), []
    for each, own_scores in zip(labels, chosen, strict=True):
        mass = torch.zeros_like(highest).index_add_(0, each.rows, each.weights)
        # a query without labels may leave out all entities
        top, among = (highest, total.where(mass != 0, 1)) if each.others else (peak, everyone)
        losses.append(torch.dot(mass, top + among.log()) - torch.dot(each.weights, own_scores))
        mass /= among  # and not exp(-log among), which loses digits where scores are large
        factor += mass * (highest - top).exp()
        if not each.others:
            expected += mass[left_out[0]] * kept_share

    to_bias.addmv_(exponentials.T, factor)
    # where the slope is a matrix, `_exponentials` made it exponentials times slope
    to_z = (
        slope.mul_(factor.unsqueeze(1)) if isinstance(slope, Tensor) else exponentials.mul_(slope * factor.unsqueeze(1))
    )
    single = torch.cat([*(-each.weights for each in labels), expected])  # gradients by the scores at these places
    to_z.view(-1).index_add_(0, places, single * steepness)
    to_bias.index_add_(0, torch.cat(ids), single)
    return to_z, torch.dot(factor, weighted) + torch.dot(single, own), torch.stack(losses)


def _exponentials(scores: Tensor, slope: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """exp(s - highest) (n, e); of each row (n,) the highest score, the sum, and Σ s exp(s - highest).

    A slope that is a matrix is multiplied by the first, in place.
    """
    highest = scores.amax(1).clamp_min(LEFT_OUT / 2)  # so that all exponentials are zero where all are left out
    exponentials = (scores - highest.unsqueeze(1)).exp_()
    if isinstance(slope, Tensor):
        slope.mul_(exponentials)
    return exponentials, highest, exponentials.sum(1), (exponentials * scores).sum(1)
