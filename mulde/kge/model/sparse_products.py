"""Inner products of query points with candidates, and their gradients, as products with one sparse matrix.

Candidates (b, c) are the places of a (b, e) matrix with c numbers in each row. Their inner products with the query
points are the product of points and table at these places; the gradient of the points is the matrix of gradients times
the table, that of the table its transpose times the points. So nothing of size (b, c, d) is made: on the CPU about
twice as fast as indexing, a batched product and ``index_add_``, which other devices use.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from scipy.sparse import csc_array
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

with warnings.catch_warnings():  # torch warns once per process that sparse matrices are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(
        torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0), (1, 1)
    )


class SparseProducts(torch.autograd.Function):
    """<q_b, t_id> and |t_id|² (b, c) of points (b, d), table rows t (e, d) and ids (b, c)."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(points, table, ids)
        return inner_products(points, table, ids), squared_norms(table, ids)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, inner: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, None]:
        points, table, ids = ctx.saved_tensors
        own = table.new_zeros(len(table)).index_add_(0, ids.flatten(), squares.flatten())
        to_table = scattered(inner, points, ids, len(table)).addcmul_(own.unsqueeze(1), table, value=2)
        return weighted_sums(inner, table, ids), to_table, None


def inner_products(points: Tensor, table: Tensor, ids: Tensor) -> Tensor:
    """<points_b, table_id> (b, c) of points (b, d), table (e, d) and ids (b, c)."""
    if _by_index(ids) or ids.shape[1] > len(table):  # torch assumes no more values than places
        return torch.bmm(table[ids], points.unsqueeze(2)).squeeze(2)
    starts = torch.arange(0, ids.numel() + 1, ids.shape[1])
    found = points.new_zeros(ids.numel())  # also the values of the sparse matrix
    places = torch.sparse_csr_tensor(starts, ids.flatten(), found, (len(points), len(table)), check_invariants=False)
    torch.sparse.sampled_addmm(places, points, table.T, beta=0.0, out=places)
    return found.view_as(ids)


def squared_norms(table: Tensor, ids: Tensor) -> Tensor:
    """|table_id|² (b, c)."""
    if 2 * ids.numel() > len(table):
        return table.square().sum(1)[ids]
    return table[ids.flatten()].square().sum(1).view_as(ids)  # few of many, as in queries of an ensemble


def weighted_sums(weights: Tensor, table: Tensor, ids: Tensor) -> Tensor:
    """Σ_c weights_bc · table_id (b, d)."""
    if _by_index(ids):
        return torch.bmm(weights.unsqueeze(1), table[ids]).squeeze(1)
    return functional.embedding_bag(ids, table, mode="sum", per_sample_weights=weights)


def scattered(weights: Tensor, points: Tensor, ids: Tensor, count: int) -> Tensor:
    """Sum of weights_bc · points_b over the places (b, c) of each of ``count`` rows in ids: (count, d)."""
    if _by_index(ids):
        rows = (weights.unsqueeze(2) * points.unsqueeze(1)).flatten(0, 1)
        return points.new_zeros(count, points.shape[1]).index_add_(0, ids.flatten(), rows)
    starts = torch.arange(0, ids.numel() + 1, ids.shape[1])
    parts = (part.flatten().numpy() for part in (weights, ids, starts))
    by_row = csc_array(tuple(parts), shape=(count, len(points))).tocsr()  # a counting sort of the places by row
    data, columns, starts = (torch.from_numpy(part) for part in (by_row.data, by_row.indices, by_row.indptr))
    return functional.embedding_bag(columns, points, starts[:-1], mode="sum", per_sample_weights=data)


def _by_index(ids: Tensor) -> bool:
    return ids.device.type != "cpu" or ids.numel() == 0
