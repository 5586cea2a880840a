"""Intersection over union, on maps small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.metrics.segmentation import intersection_over_union, mean_iou

TRUTH = np.array([[0, 0, 1], [0, 1, 1], [2, 2, -1]])
FOUND = np.array([[0, 1, 1], [0, 1, 0], [2, 0, 2]])


def test_counted_by_hand() -> None:
    """Background 2 of 5 (three true, four found, two both); class 1 two of four; class 2 one of two; 3 nowhere."""
    found = intersection_over_union(FOUND, TRUTH, 4)
    assert found[:3] == pytest.approx([2 / 5, 2 / 4, 1 / 2]) and np.isnan(found[3])
    assert mean_iou(FOUND, TRUTH, 4) == pytest.approx(0.5)
    assert mean_iou(FOUND, TRUTH, 4, background=True) == pytest.approx((0.4 + 0.5 + 0.5) / 3)


def test_unknown_pixels_do_not_count() -> None:
    other = np.where(TRUTH == -1, 1, FOUND)
    assert mean_iou(other, TRUTH, 4) == mean_iou(FOUND, TRUTH, 4)
    assert np.isnan(intersection_over_union(FOUND, np.full((3, 3), -1), 4)).all()


def test_nothing_to_see_and_nothing_seen_is_right() -> None:
    empty = np.zeros((3, 3), np.int64)
    assert mean_iou(empty, empty, 3) == 1
    assert mean_iou(FOUND, empty, 3) == 0


def test_equal_maps_and_other_shapes() -> None:
    assert mean_iou(np.abs(TRUTH), np.abs(TRUTH), 3) == 1
    with pytest.raises(UsageError, match=r"two maps of one shape; got \(3, 3\) and \(2, 3\)"):
        mean_iou(FOUND, TRUTH[:2], 3)
