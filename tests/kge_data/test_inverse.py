from __future__ import annotations

import numpy as np

from kge_data.inverse import reciprocal, with_reciprocals


def test_both_directions_in_pykeens_numbering() -> None:
    both = with_reciprocals(np.array([[0, 0, 1], [2, 3, 4]]))
    assert both.tolist() == [[0, 0, 1], [2, 6, 4], [1, 1, 0], [4, 7, 2]]
    assert both.dtype == np.int64


def test_reciprocal_exchanges_the_pair_and_is_its_own_inverse() -> None:
    relations = np.arange(10)
    assert reciprocal(relations).tolist() == [1, 0, 3, 2, 5, 4, 7, 6, 9, 8]
    assert np.array_equal(reciprocal(reciprocal(relations)), relations)


def test_nothing_gives_nothing() -> None:
    assert with_reciprocals(np.empty((0, 3), dtype=np.int64)).shape == (0, 3)
