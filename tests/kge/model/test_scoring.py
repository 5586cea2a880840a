"""The forms of one score: reference, candidates, blocks, top. The contract tests check them for each scorer."""

from __future__ import annotations

import math
import shutil
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from mulde.geometry import poincare
from mulde.geometry.spaces import Euclidean, PoincareBall, Space
from mulde.kge.model import columns, compilation, scoring, selection
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scoring import Queries, Tails
from mulde.kge.scorers.roth import RotH

ENTITIES, DIMENSION = 3000, 8  # enough for several blocks


def both(curvature: str, dtype: torch.dtype = torch.float64, bias: bool = True) -> tuple[Queries, Tails]:
    """400 queries, with a curvature of their own ("many"), one of 5 ("few"), a shared one or none."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    kinds = {
        "many": normal(400).exp(),
        "few": normal(5).exp()[torch.randint(5, (400,), generator=generator)],
        "shared": torch.tensor(1.3, dtype=dtype),
        "flat": None,
    }
    c = kinds[curvature]
    points, vectors = 0.3 * normal(400, DIMENSION), 0.3 * normal(ENTITIES, DIMENSION)
    space: Space = Euclidean() if c is None else PoincareBall()
    if c is not None:
        points = poincare.expmap0(points, c)
    biases = (normal(400), normal(ENTITIES)) if bias else (None, None)
    return Queries(points, c, biases[0]), Tails(vectors, biases[1], space)


def reference(queries: Queries, table: Tails) -> torch.Tensor:
    """All scores (b, e) from `compare`."""
    c = queries.curvature
    column = c.unsqueeze(-1) if c is not None and c.dim() else c
    scores = scoring.compare(queries.points.unsqueeze(1), table.vectors, column, table.space)
    if queries.bias is not None and table.bias is not None:
        scores = scores + queries.bias.unsqueeze(1) + table.bias
    return scores


CURVATURES = ["many", "few", "shared", "flat"]


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("bias", [True, False])
def test_blocks_equal_the_reference(curvature: str, bias: bool) -> None:
    queries, table = both(curvature, bias=bias)
    expected, delivered = reference(queries, table), []
    for rows, scores in scoring.blocks(queries, table):
        assert_close(scores, expected[rows], rtol=1e-11, atol=1e-12)
        assert not scores.requires_grad
        delivered += rows.tolist()
    assert sorted(delivered) == list(range(400))


@pytest.mark.parametrize("curvature", CURVATURES)
def test_blocks_bound_their_memory(curvature: str) -> None:
    queries, table = both(curvature, torch.float32)
    assert all(scores.numel() <= max(scoring.BLOCK, ENTITIES) for _, scores in scoring.blocks(queries, table))


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 10, 2999, 3000])
def test_top_are_the_best(curvature: str, dtype: torch.dtype, k: int) -> None:
    queries, table = both(curvature, dtype)
    queries = queries[torch.arange(20)]
    scores = torch.empty(20, ENTITIES, dtype=dtype)
    for rows, block in scoring.blocks(queries, table):
        scores[rows] = block
    ids = scoring.top(queries, table, k)
    assert ids.shape == (20, k) and ids.dtype == torch.int64
    assert all(len(set(row)) == k for row in ids.tolist())
    assert_close(scores.gather(1, ids).sort(1).values, scores.topk(k).values.flip(1), rtol=1e-5, atol=1e-5)


def test_top_of_more_than_there_are_is_all() -> None:
    queries, table = both("shared")
    few = Tails(table.vectors[:7], None, PoincareBall())
    assert scoring.top(queries[torch.arange(3)], few, 500).sort(1).values.tolist() == [list(range(7))] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_largest(dtype: torch.dtype) -> None:
    scores = torch.tensor([[3, 1, 2, 5, 4], [1, 1, 1, 9, 1], [-1, -2, -3, -4, -5]], dtype=dtype)
    assert sorted(selection.largest(scores, 2)[0].tolist()) == [3, 4]
    assert 3 in selection.largest(scores, 2)[1].tolist()  # which of the equal ones comes along is left open
    assert sorted(selection.largest(scores, 2)[2].tolist()) == [0, 1]
    assert selection.largest(scores, 5).sort(1).values.tolist() == [list(range(5))] * 3
    assert selection.largest(scores, 9).tolist() == selection.largest(scores, 5).tolist()


def test_queries_are_sliced_with_what_belongs_to_them() -> None:
    queries, _ = both("many")
    rows = torch.tensor([5, 2])
    part = queries[rows]
    assert len(part) == 2 and len(queries) == 400
    assert queries.curvature is not None and part.curvature is not None and part.bias is not None
    assert torch.equal(part.points, queries.points[rows])
    assert torch.equal(part.curvature, queries.curvature[rows])
    shared = both("shared")[0][rows].curvature
    assert shared is not None and shared.dim() == 0


@pytest.mark.parametrize("curvature", CURVATURES)
def test_no_query_is_no_score(curvature: str) -> None:
    queries, table = both(curvature)
    none = queries[torch.empty(0, dtype=torch.int64)]
    assert scoring.top(none, table, 3).shape == (0, 3)
    assert sum(len(rows) for rows, _ in scoring.blocks(none, table)) == 0


def test_many_candidates_and_their_gradients() -> None:
    """Equal to the broadcasting reference, with the gradient of every path."""
    queries, table = both("few")
    ids = torch.randint(ENTITIES, (400, 100), generator=torch.Generator().manual_seed(1))
    points, vectors = queries.points.requires_grad_(), table.vectors.requires_grad_()
    fast = scoring.candidates(queries, table, ids)
    assert queries.curvature is not None and queries.bias is not None and table.bias is not None
    slow = scoring.compare(points.unsqueeze(1), vectors[ids], queries.curvature.unsqueeze(1), table.space)
    slow = slow + queries.bias.unsqueeze(1) + table.bias[ids]
    assert_close(fast, slow, rtol=1e-11, atol=1e-12)
    expected, found = (torch.autograd.grad(scores.sigmoid().sum(), (points, vectors)) for scores in (slow, fast))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("limit", "cap"), [(1 - 4e-3, 5.42), (1 - 1e-5, 10.65)])
def test_caps_hold_in_every_form(limit: float, cap: float) -> None:
    """Curvature softplus(1), tails far apart: all scores are minus the squared reference caps."""
    c = torch.tensor(math.log(1 + math.e))
    points = poincare.project(torch.tensor([[9.0, 0.0], [0.0, 9.0]]), c)
    table = Tails(torch.tensor([[-8.0, -1.0], [-1.0, -8.0], [-7.0, -7.0]]), None, PoincareBall(limit))
    queries = Queries(points, c)
    ids = torch.arange(3).expand(2, 3)
    block = next(iter(scoring.blocks(queries, table)))[1]
    for scores in (block, scoring.candidates(queries, table, ids), reference(queries, table)):
        assert_close((-scores).sqrt(), torch.full((2, 3), cap), rtol=0, atol=5e-3)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # dynamo reads gradients of tensors without one, which warns
@pytest.mark.parametrize(
    ("curvature", "options", "backend"),
    [
        pytest.param("per-relation", {"artanh_limit": 0.9}, "inductor", marks=pytest.mark.slow),
        ("global", {"distance": "lorentz"}, "eager"),  # traced only, without the minute of the compiler
    ],
)
def test_compiled_and_uncompiled_forms_agree(
    curvature: str, options: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of candidates and of all entities, the top K, and gradients of every table, in float64."""
    compiler = cache(partial(torch.compile, dynamic=True, backend=backend))
    monkeypatch.setattr(compilation, "_compile", compiler)
    config = ModelConfig(dim=6, curvature=curvature, dtype="float64", init_scale=0.5, **options)
    model = KGEModel(RotH, 40, 3, config, seed=1)
    draw = torch.Generator().manual_seed(0)
    heads, relations = (torch.randint(high, (7,), generator=draw) for high in (40, 6))
    ids = torch.randint(40, (7, 5), generator=draw)

    def everything() -> list[torch.Tensor]:
        scores = model.score(heads, relations, ids)
        gradients = torch.autograd.grad(scores.square().sum(), list(model.parameters()))
        best = model.top(heads, relations, 4).sort(1).values
        return [scores, model.score_all(heads, relations), best.double(), *gradients]

    if not any(shutil.which(name) for name in ("g++", "clang++")):
        pytest.skip("torch.compile needs a C++ compiler")
    uncompiled = everything()
    with compilation.compilation(True) as works:
        assert works
        found = everything()
    for before, after in zip(uncompiled, found, strict=True):
        assert_close(after, before, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("count", "k"), [(5000, 500), (300, 7), (40, 39), (40, 40), (40, 99)])
def test_the_largest_begin_with_the_least_of_them(count: int, k: int) -> None:
    scores = torch.randn(6, count, generator=torch.Generator().manual_seed(count + k))
    ids = selection.largest(scores, k)
    chosen = scores.gather(1, ids)
    assert_close(chosen.sort(1).values, scores.sort(1).values[:, -min(k, count) :])
    assert torch.equal(chosen[:, 0], chosen.min(1).values)


def test_a_sample_that_misleads_changes_nothing() -> None:
    """Large scores in sampled columns only: the threshold passes too few, and the whole row is searched."""
    scores = torch.zeros(1, 16_000) + torch.linspace(0, 1e-3, 16_000)
    scores[0, :: columns.SAMPLE] += 1
    ids = selection.largest(scores, 1500)
    assert set(ids[0].tolist()) == set(scores[0].topk(1500).indices.tolist())
