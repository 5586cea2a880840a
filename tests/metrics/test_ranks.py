"""Filtered ranks against a loop over lists, and their metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mulde.metrics.ranks import NonFiniteScores, Ranks, concatenate, rank

NONE = torch.empty(0, dtype=torch.int64)


def naive(scores: list[list[float]], targets: list[int], known: list[set[int]]) -> list[tuple[int, int, int]]:
    """(better, tied, candidates) of each row, one comparison at a time."""
    outcome = []
    for row, target, hidden in zip(scores, targets, known, strict=True):
        others = [e for e in range(len(row)) if e != target and e not in hidden]
        better = sum(row[e] > row[target] for e in others)
        tied = sum(row[e] == row[target] for e in others)
        outcome.append((better, tied, len(others) + 1))
    return outcome


def as_tensors(known: list[set[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = [(row, tail) for row, tails in enumerate(known) for tail in sorted(tails)]
    rows, tails = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return rows, tails


def outcome(ranks: Ranks) -> list[tuple[int, int, int]]:
    return list(zip(ranks.better.tolist(), ranks.tied.tolist(), ranks.candidates.tolist(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("values", [2, 5, 10_000])
@pytest.mark.parametrize("seed", range(5))
def test_equal_a_loop(dtype: torch.dtype, values: int, seed: int) -> None:
    """With many ties, some, and hardly any; with and without known answers, the target among them or not."""
    draw = np.random.default_rng(seed)
    scores, targets = draw.integers(0, values, (20, 30)), draw.integers(0, 30, 20)
    known = [set(draw.integers(0, 30, size).tolist()) for size in draw.integers(0, 25, 20)]
    known[3].add(int(targets[3]))
    known[4].discard(int(targets[4]))
    found = rank(torch.tensor(scores, dtype=dtype), torch.tensor(targets), *as_tensors(known))
    assert outcome(found) == naive(scores.tolist(), targets.tolist(), known)


def test_order_of_the_filter_does_not_matter() -> None:
    scores, targets = torch.tensor([[3.0, 1, 2, 0], [0, 1, 2, 3]]), torch.tensor([1, 0])
    rows, tails = torch.tensor([0, 1, 1]), torch.tensor([0, 3, 1])
    assert outcome(rank(scores, targets, rows, tails)) == outcome(rank(scores, targets, rows.flip(0), tails.flip(0)))
    assert outcome(rank(scores, targets, rows, tails)) == [(1, 0, 3), (1, 0, 2)]


def test_no_query_has_no_rank() -> None:
    assert len(rank(torch.empty(0, 4), NONE, NONE, NONE)) == 0


def test_nearly_equal_scores_are_not_tied() -> None:
    """Also where their difference is subnormal or beyond the largest float."""
    tiny = 1e-38
    scores = torch.tensor([[tiny, 1.0001 * tiny, tiny], [3e38, -3e38, 3e38]])
    every = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 2, 1, 2])
    assert outcome(rank(scores, torch.tensor([0, 1]), NONE, NONE)) == [(1, 1, 3), (2, 0, 3)]
    assert outcome(rank(scores, torch.tensor([0, 1]), *every)) == [(0, 0, 1), (1, 0, 2)]


@pytest.mark.parametrize(("value", "spelled"), [(float("nan"), "nan"), (float("inf"), "inf"), (-float("inf"), "-inf")])
def test_non_finite_scores_are_refused(value: float, spelled: str) -> None:
    scores = torch.zeros(3, 5)
    scores[1, 4] = value
    with pytest.raises(NonFiniteScores) as complaint:
        rank(scores, torch.zeros(3, dtype=torch.int64), NONE, NONE)
    assert str(complaint.value) == (
        f"score of entity 4 for query 1 of the block is {spelled}; ranks need finite scores; "
        "the model diverged (lower the learning rate) or its file is damaged"
    )


def test_opposite_infinities_and_large_sums() -> None:
    """Infinities that cancel are refused; finite scores whose sum overflows are not."""
    both = torch.tensor([[float("inf"), -float("inf"), 0.0]])
    with pytest.raises(NonFiniteScores):
        rank(both, torch.tensor([2]), NONE, NONE)
    large = torch.full((2, 3), 3e38)
    assert outcome(rank(large, torch.tensor([0, 1]), NONE, NONE)) == [(0, 2, 3), (0, 2, 3)]


def test_three_policies() -> None:
    ranks = Ranks(np.array([0, 3]), np.array([2, 0]), np.array([10, 10]))
    assert ranks.ranks("optimistic").tolist() == [1, 4]
    assert ranks.ranks("pessimistic").tolist() == [3, 4]
    assert ranks.ranks().tolist() == ranks.ranks("realistic").tolist() == [2, 4]


def test_metrics_by_hand() -> None:
    metrics = Ranks(np.array([0, 2, 9]), np.array([0, 0, 1]), np.array([21, 21, 21])).metrics()
    assert metrics == pytest.approx(
        {
            "mrr": (1 + 1 / 3 + 1 / 10.5) / 3,
            "hits@1": 1 / 3,
            "hits@3": 2 / 3,
            "hits@10": 2 / 3,
            "mr": (1 + 3 + 10.5) / 3,
            "amr": (1 + 3 + 10.5) / 3 / 11,
        }
    )


def test_a_constant_model_is_chance() -> None:
    """Realistic rank in the middle, adjusted mean rank 1, no hit; optimistically it would look perfect."""
    ranks = rank(torch.zeros(7, 41), torch.arange(7), NONE, NONE)
    assert set(ranks.ranks()) == {21.0}
    assert ranks.metrics()["amr"] == 1.0
    assert ranks.metrics()["hits@10"] == 0.0
    assert ranks.metrics("optimistic")["mrr"] == 1.0
    assert ranks.metrics("pessimistic")["mrr"] == pytest.approx(1 / 41)


def test_random_scores_are_chance() -> None:
    """Exactly, when every entity is once the target of one order; in the mean, with filters of any size."""
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0)).float().expand(50, 50)
    assert rank(order, torch.arange(50), NONE, NONE).metrics()["amr"] == pytest.approx(1.0)
    draw = np.random.default_rng(0)
    scores, targets = torch.from_numpy(draw.random((4000, 60))), torch.from_numpy(draw.integers(0, 60, 4000))
    known = [set(draw.integers(0, 60, size).tolist()) for size in draw.integers(0, 50, 4000)]
    ranks = rank(scores, targets, *as_tensors(known))
    # One rank among n is spread evenly: standard deviation n/√12, that is 1/√3 of its mean.
    assert ranks.metrics()["amr"] == pytest.approx(1.0, abs=5 * 0.65 / 4000**0.5)


def test_parts_are_joined_and_chosen() -> None:
    first = Ranks(np.array([1]), np.array([2]), np.array([3]))
    second = Ranks(np.array([4, 5]), np.array([6, 7]), np.array([8, 9]))
    joined = concatenate([first, second])
    assert len(joined) == 3
    assert outcome(joined) == [(1, 2, 3), (4, 6, 8), (5, 7, 9)]
    assert outcome(joined[np.array([True, False, True])]) == [(1, 2, 3), (5, 7, 9)]
    assert outcome(joined[1:]) == outcome(second)
