"""Forgetting, and accuracy on the classes that a client has and lacks, on hand-made recalls."""

from __future__ import annotations

import math

import pytest

from mulde.errors import UsageError
from mulde.metrics.forgetting import forgetting, in_and_out_local


def test_forgetting_is_the_distance_from_the_best_round_before() -> None:
    recalls = [[0.2, 0.9], [0.8, 0.5], [0.5, 0.6]]
    assert forgetting(recalls) == pytest.approx((0.8 - 0.5 + 0.9 - 0.6) / 2)
    assert forgetting(recalls[:2]) == pytest.approx((0.2 - 0.8 + 0.9 - 0.5) / 2)  # one class got better, one worse
    assert forgetting([[0.1, 0.2], [0.5, 0.4]]) == pytest.approx(-0.3)
    assert forgetting([[0.2, math.nan], [0.1, math.nan]]) == pytest.approx(0.1)


def test_in_and_out_local_weigh_by_what_is_held_and_by_the_rest() -> None:
    """p = (.75, .25, 0): p̃ = (.125, .375, .5)."""
    own, others = in_and_out_local([1.0, 0.6, 0.2], [30, 10, 0])
    assert own == pytest.approx(0.75 + 0.25 * 0.6)
    assert others == pytest.approx(0.125 + 0.375 * 0.6 + 0.5 * 0.2)


def test_equal_shares_make_both_the_mean_and_missing_classes_are_left_out() -> None:
    assert in_and_out_local([0.2, 0.4, 0.9], [7, 7, 7]) == pytest.approx((0.5, 0.5))
    own, others = in_and_out_local([0.2, math.nan, 0.8], [1, 1, 2])
    assert own == pytest.approx((0.2 + 2 * 0.8) / 3) and others == pytest.approx((0.75 * 0.2 + 0.5 * 0.8) / 1.25)


def test_messages() -> None:
    with pytest.raises(UsageError) as error:
        forgetting([[0.1, 0.2]])
    assert str(error.value) == "expected the recall of every class after at least 2 rounds; got shape (1, 2)"
    with pytest.raises(UsageError) as error:
        in_and_out_local([0.1, 0.2], [0, 0])
    assert str(error.value) == (
        "expected the recall and the fraction of at least 2 classes; got shapes (2,) and (2,) "
        "with fractions that add up to 0"
    )
