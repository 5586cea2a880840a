"""Cross entropy over all entities, for labels that name a few of them: loss and gradient in one pass, row by row.

    loss = Σ_n w_n (log Σ_e exp s(b_n, e) - s(b_n, e_n)),    (b_n, e_n, w_n) the labels

With one label per query this is the 1-vs-all loss. With all answers of a query as labels, each of weight one, it is
the same sum over training triples, but each distinct query is scored once instead of once per answer. With a teacher's
probabilities as weights it is a soft loss.

No matrix of shape (b, e) is kept: a block of rows is scored, turned into its gradient while it is in the cache, and
multiplied into the gradients of queries and tails; each thread has rows of its own. A tail's terms, its bias apart,
ride in the same matrix product as two further columns, which needs one curvature for all queries of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mulde.scorers.fusion import fused
from mulde.scorers.tails import BLOCK, Queries, Tails
from mulde.scorers.threads import spread

LEAST_ROWS = 24  # of a block: matrix products of fewer rows are slow


@dataclass(frozen=True)
class Labels:
    """Weighted pairs of a query and an entity, and which entities do not compete.

    ``rows`` (n,) ascending positions in the batch, ``ids`` (n,), and ``weights`` (n,), which also make the reduction:
    a mean over queries has weights that sum to 1. ``left_out``: (rows, ids), rows ascending, of pairs that do not take
    part in their query's softmax, for example known answers when only the order of the others is to be learned.
    """

    rows: Tensor
    ids: Tensor
    weights: Tensor
    left_out: tuple[Tensor, Tensor] | None = None

    def split(self, edges: list[int]) -> list[Labels]:
        """The labels of the rows between each two edges, with rows counted from the first of these."""
        at = torch.tensor(edges, device=self.rows.device)
        ends, left_ends = torch.searchsorted(self.rows, at).tolist(), None
        if self.left_out is not None:
            left_ends = torch.searchsorted(self.left_out[0], at).tolist()
        found = []
        for i, start in enumerate(edges[:-1]):
            some, left_out = slice(ends[i], ends[i + 1]), None
            if self.left_out is not None and left_ends is not None:
                left = slice(left_ends[i], left_ends[i + 1])
                left_out = self.left_out[0][left] - start, self.left_out[1][left]
            found.append(Labels(self.rows[some] - start, self.ids[some], self.weights[some], left_out))
        return found


Products = Literal["float32", "bfloat16"]


def full_cross_entropy(
    queries: Queries, tails: Tails, *labels: Labels, products: Products = "float32"
) -> tuple[Tensor, Tensor]:
    """The sum () of the losses above over all sets of labels, and each of them (k,) without gradient: one pass.

    Differentiable in points, curvature, vectors and biases of the tails; a query's bias cancels. ``products``: bfloat16
    lets torch round what goes into the three matrix products, not what comes out, where that is faster: on processors
    with matrix units. With AVX-512 alone torch 2.14 multiplies as before, also where that knows bfloat16.

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
    with _rounded(products):
        total, losses = _FullCrossEntropy.apply(points, vectors, bias, one, labels, tails)
    return total, losses


@contextmanager
def _rounded(products: Products) -> Iterator[None]:
    """torch's own switch for the precision inside float32 products, set back afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if products == "float32" else "medium")
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
        tails: Tails,
    ) -> tuple[Tensor, Tensor]:
        parts = max(1, min(torch.get_num_threads(), len(points) * len(vectors) // BLOCK))
        edges = [len(points) * i // parts for i in range(parts + 1)] if points.is_cpu else [0, len(points)]
        to_points = torch.empty_like(points)

        def one(part: tuple[tuple[int, int], list[Labels]]) -> tuple[Tensor, ...]:
            rows = slice(*part[0])
            return _some_rows(points[rows], vectors, bias, curvature, part[1], tails, to_points[rows])

        found = spread(one, list(_parts(labels, edges)))
        to_vectors, to_bias, by_score, losses = (sum(part[1:], part[0]) for part in zip(*found, strict=True))
        # s = f(cz)/c, so at fixed z  ds/dc = (z ds/dz - s)/c, and Σ z dL/dz = <points, dL/dpoints>
        to_curvature = ((points * to_points).sum() - (by_score - (to_bias * bias).sum())) / curvature
        ctx.save_for_backward(to_points, to_vectors, to_bias, to_curvature)
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * part for part in ctx.saved_tensors), None, None


def _parts(labels: Sequence[Labels], edges: list[int]) -> Iterator[tuple[tuple[int, int], list[Labels]]]:
    """The rows between each two edges, (start, stop), and what each set of labels says of them."""
    own = zip(*(each.split(edges) for each in labels), strict=True)
    return zip(itertools.pairwise(edges), map(list, own), strict=True)


def _some_rows(
    points: Tensor,
    vectors: Tensor,
    bias: Tensor,
    curvature: Tensor,
    labels: Sequence[Labels],
    tails: Tails,
    to_points: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients by vectors and bias, Σ s dL/ds and the losses (k,); ``to_points`` is written to."""
    # a block in the cache; but not so low that the gradient of all tails, written once per block, outweighs it
    height = max(BLOCK // len(vectors), vectors.shape[1] // 2, LEAST_ROWS)
    to_vectors, to_bias = torch.zeros_like(vectors), torch.zeros_like(bias)
    by_score = points.new_zeros(())  # which the curvature's gradient needs
    losses = points.new_zeros(len(labels))
    buffer = points.new_empty(min(height, len(points)), len(vectors))
    edges = [*range(0, len(points), height), len(points)]
    for (start, stop), own in _parts(labels, edges):
        rows = slice(start, stop)
        z = torch.mm(points[rows], vectors.T, out=buffer[: stop - start])
        scores, slope = fused(_scores)(z, bias, curvature, tails.space, tails.artanh_limit)
        to_scores: Any = 0
        for i, some in enumerate(own):
            loss, gradient = _softmax_loss(scores, some)
            losses[i] += loss
            to_scores = gradient if i == 0 else to_scores.add_(gradient)
        to_z, in_bias, in_score = fused(_through)(to_scores, scores, slope)
        to_bias += in_bias
        by_score += in_score
        torch.mm(to_z, vectors, out=to_points[rows])
        to_vectors.addmm_(to_z.T, points[rows])
    return to_vectors, to_bias, by_score, losses


def _scores(
    z: Tensor, bias: Tensor, curvature: Tensor, space: ModuleType, artanh_limit: float | None
) -> tuple[Tensor, Tensor | float]:
    """Scores of a block of inner products z (n, e), which is overwritten, and their derivative by z."""
    scores, slope = space.similarity_slope_(z, curvature, artanh_limit)
    return scores.add_(bias), slope


def _shares(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """exp(s - highest) (n, e), its sum and the highest score (n, 1) of each row."""
    highest = scores.amax(1, keepdim=True)
    share = (scores - highest).exp()
    return share, share.sum(1, keepdim=True), highest


def _through(to_scores: Tensor, scores: Tensor, slope: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dz (n, e), dL/dbias (e,) and Σ s dL/ds of a block."""
    return to_scores * slope, to_scores.sum(0), (to_scores * scores).sum()


def _softmax_loss(scores: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
    """Loss of a block of scores (n, e), which are left as they are, and its gradient by them."""
    flat, entities = scores.view(-1), scores.shape[1]
    place = labels.rows * entities + labels.ids
    chosen = flat[place]
    if labels.left_out is not None:
        hidden = labels.left_out[0] * entities + labels.left_out[1]
        kept = flat[hidden]
        flat[hidden] = LEFT_OUT
    mass = scores.new_zeros(len(scores)).index_add_(0, labels.rows, labels.weights)
    share, total, highest = fused(_shares)(scores)
    if labels.left_out is not None:
        flat[hidden] = kept
    loss = torch.dot(mass, (total.log() + highest).squeeze(1)) - torch.dot(labels.weights, chosen)
    share.mul_(mass.unsqueeze(1) / total)
    share.view(-1).index_add_(0, place, -labels.weights)
    return loss, share


LEFT_OUT = -1e30  # a score so low that its exponential is zero
