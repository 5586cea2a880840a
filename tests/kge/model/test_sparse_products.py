"""Products with chosen tails: sparse products on the CPU, indexing elsewhere, and both against plain indexing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from mulde.kge.model import sparse_products
from mulde.kge.model.sparse_products import SparseProducts

ENTITIES, DIMENSION = 30, 6


def plainly(points: Tensor, table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """What `SparseProducts` gives, by indexing."""
    rows = table[ids]
    return (points.unsqueeze(1) * rows).sum(-1), rows.square().sum(-1)


def inputs(queries: int, candidates: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points and table in float64 with gradients, and ids with repetitions."""
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(queries, DIMENSION, dtype=torch.float64, generator=draw, requires_grad=True)
    table = torch.randn(ENTITIES, DIMENSION, dtype=torch.float64, generator=draw, requires_grad=True)
    return points, table, torch.randint(ENTITIES // 2, (queries, candidates), generator=draw)


@pytest.mark.parametrize("indexes", [False, True])
@pytest.mark.parametrize("shape", [(7, 9), (1, 1), (4, 0), (3, ENTITIES + 5)])
def test_equal_to_indexing_with_gradients(
    shape: tuple[int, int], indexes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if indexes:
        monkeypatch.setattr(sparse_products, "_by_index", lambda ids: True)
    points, table, ids = inputs(*shape)
    found, wanted = SparseProducts.apply(points, table, ids), plainly(points, table, ids)
    torch.testing.assert_close(found, wanted)
    weights = [torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (1, 2)]
    for part, other in zip(
        torch.autograd.grad(found, (points, table), weights), torch.autograd.grad(wanted, (points, table), weights),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(part, other)


def test_no_warning_of_sparse_tensors() -> None:
    """In a process of its own: torch warns once."""
    program = "import torch; from mulde.kge.model import sparse_products as g; i = torch.tensor([[0, 1], [1, 1]]); "
    program += "p = torch.ones(2, 2); g.inner_products(p, p, i); g.scattered(p, p, i, 2)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
