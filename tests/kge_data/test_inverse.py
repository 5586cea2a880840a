from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from kge_data.inverse import (
    forward_id,
    internal_id,
    inverse_of,
    is_reciprocal,
    num_internal,
    reciprocal_id,
    user_relation,
    with_reciprocals,
)


def test_both_directions_in_pykeens_numbering() -> None:
    both = with_reciprocals(np.array([[0, 0, 1], [2, 3, 4]]))
    assert both.tolist() == [[0, 0, 1], [2, 6, 4], [1, 1, 0], [4, 7, 2]]
    assert both.dtype == np.int64


def test_no_triples_give_no_triples() -> None:
    assert with_reciprocals(np.empty((0, 3), dtype=np.int64)).shape == (0, 3)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_ids_of_arrays_and_tensors(kind: Callable[[list[Any]], Any]) -> None:
    relations, back = kind([0, 1, 2]), kind([True, False, True])
    assert forward_id(relations).tolist() == [0, 2, 4]
    assert reciprocal_id(relations).tolist() == [1, 3, 5]
    internal = internal_id(relations, back)
    assert internal.tolist() == [1, 2, 5]
    assert internal.dtype == relations.dtype
    assert user_relation(internal).tolist() == [0, 1, 2]
    assert is_reciprocal(internal).tolist() == [True, False, True]
    assert inverse_of(internal).tolist() == [0, 3, 4]
    assert inverse_of(inverse_of(internal)).tolist() == internal.tolist()


def test_ids_of_integers() -> None:
    assert [forward_id(3), reciprocal_id(3), internal_id(3, True), internal_id(3, False)] == [6, 7, 7, 6]
    assert [inverse_of(6), inverse_of(7), user_relation(6), user_relation(7)] == [7, 6, 3, 3]
    assert not is_reciprocal(6)
    assert is_reciprocal(7)
    assert num_internal(5) == 10
