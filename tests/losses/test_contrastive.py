"""Contrastive losses against double loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from mulde.errors import UsageError
from mulde.losses.contrastive import negative_cosine, nt_xent
from tests.losses import restated
from tests.losses.restated import drawn

FIRST, SECOND = drawn(4, 3, seed=1), drawn(4, 3, seed=2)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_equals_the_double_loop(temperature: float) -> None:
    expected = restated.nt_xent(FIRST.numpy(), SECOND.numpy(), temperature)
    assert nt_xent(FIRST, SECOND, temperature).item() == pytest.approx(expected, rel=1e-11)


def test_nt_xent_has_no_order_no_sides_and_no_lengths() -> None:
    expected, order = nt_xent(FIRST, SECOND), torch.tensor([2, 0, 3, 1])
    assert_close(nt_xent(FIRST[order], SECOND[order]), expected, rtol=1e-12, atol=0)
    assert_close(nt_xent(SECOND, 9 * FIRST), expected, rtol=1e-12, atol=0)
    assert abs(nt_xent(FIRST, SECOND[order]).item() - expected.item()) > 1e-3


def test_nt_xent_of_one_image_and_of_equal_vectors() -> None:
    """No negatives: 0. All alike: log of the 2b - 1 candidates."""
    assert nt_xent(FIRST[:1], SECOND[:1]).item() == 0
    alike = torch.ones(4, 3, dtype=torch.float64)
    assert nt_xent(alike, alike).item() == pytest.approx(math.log(7), rel=1e-12)


def test_nt_xent_refuses_unequal_views() -> None:
    with pytest.raises(UsageError, match=r"expected two views of one shape; got \(4, 3\) and \(3, 3\)"):
        nt_xent(FIRST, SECOND[:3])


def test_negative_cosine() -> None:
    assert negative_cosine(FIRST, 3 * FIRST).item() == pytest.approx(-1)
    assert negative_cosine(FIRST, -FIRST).item() == pytest.approx(1)
