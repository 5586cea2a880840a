from __future__ import annotations

import numpy as np
import pytest

from kge_data.errors import DataError
from kge_data.splitting import split


def _as_set(triples: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, triples.tolist()))


@pytest.mark.parametrize("seed", range(8))
def test_a_partition_whose_train_knows_everything(seed: int) -> None:
    grid = np.array([(h, r, t) for h in range(8) for r in range(3) for t in range(8)])
    triples = np.random.default_rng(seed).choice(grid, 40)  # some of them twice
    train, valid, test = split(triples, seed)
    assert len(train) + len(valid) + len(test) == len(_as_set(triples))
    assert _as_set(train) | _as_set(valid) | _as_set(test) == _as_set(triples)
    for other in (valid, test):
        assert len(other) >= 1
        assert np.isin(other[:, ::2], train[:, ::2]).all()
        assert np.isin(other[:, 1], train[:, 1]).all()


def _complete_graph() -> np.ndarray:
    return np.array([(h, r, t) for h in range(10) for r in range(4) for t in range(10)])


def test_a_relation_that_occurs_once_stays_in_train() -> None:
    once = np.array([(0, 10 + number, 1) for number in range(100)])
    train, _, _ = split(np.concatenate([_complete_graph(), once]), 0)
    assert set(range(10, 110)) <= set(train[:, 1].tolist())


def test_fractions() -> None:
    assert [len(part) for part in split(_complete_graph(), 0)] == [360, 20, 20]
    assert [len(part) for part in split(_complete_graph(), 0, 0.1, 0.2)] == [280, 40, 80]


def test_only_set_and_seed_matter() -> None:
    triples = _complete_graph()
    shuffled = np.concatenate([triples, triples[:50]])[np.random.default_rng(1).permutation(450)]
    for one, other in zip(split(triples, 3), split(shuffled, 3), strict=True):
        assert np.array_equal(one, other)
    assert _as_set(split(triples, 3)[2]) != _as_set(split(triples, 4)[2])


def test_too_few_spare_triples_are_divided() -> None:
    tree = [(0, 0, number) for number in range(1, 100)]
    train, valid, test = split(np.array([*tree, (1, 0, 2), (3, 0, 4)]), 0)
    assert 2 <= len(valid) + len(test) <= 4
    assert abs(len(valid) - len(test)) <= 1
    assert set(train[:, ::2].ravel().tolist()) == set(range(100))


def test_a_tree_cannot_be_split() -> None:
    with pytest.raises(DataError, match=r"99 different triples cannot be split .* only 0 could be taken"):
        split(np.array([(0, 0, number) for number in range(1, 100)]), 0)
