"""Agreement of two classifiers, and detection of examples from outside, by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.metrics.agreement import agreement_metrics
from mulde.metrics.out_of_distribution import auroc, detection_rows, maximum_probability, negative_energy

DRAW = np.random.default_rng(0)


def test_agreement_by_hand() -> None:
    first = np.log([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9], [0.8, 0.2]]) + 3
    second = np.log([[0.5, 0.5], [0.3, 0.7], [0.2, 0.8], [0.9, 0.1]])
    found = agreement_metrics(first, second, [0, 0, 0, 1])
    rows = [(0.7, 0.5), (0.6, 0.3), (0.1, 0.2), (0.8, 0.9)]
    kl = np.mean([p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)) for p, q in rows])
    assert found == pytest.approx(
        {"agreement": 0.75, "kl": kl, "both_right": 0.25, "first_right": 0.25, "second_right": 0, "none_right": 0.5}
    )
    with pytest.raises(UsageError, match="expected logits"):
        agreement_metrics(first, second[:, :1], [0, 0, 0, 1])


def test_scores_of_logits() -> None:
    logits = DRAW.normal(size=(5, 4)) * 5
    odds = np.exp(logits)
    assert maximum_probability(logits) == pytest.approx((odds / odds.sum(1, keepdims=True)).max(1))
    assert negative_energy(logits) == pytest.approx(np.log(odds.sum(1)))


def test_area_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    inside, outside = DRAW.integers(2, 12, 40) / 10, DRAW.integers(0, 10, 30) / 10  # with ties
    expected = metrics.roc_auc_score([1] * 40 + [0] * 30, [*inside, *outside])
    assert auroc(inside, outside) == pytest.approx(expected)
    with pytest.raises(UsageError, match="expected numbers inside and outside; got 40 and 0"):
        auroc(inside, [])


def test_outside_at_a_threshold() -> None:
    inside = np.array([[float(i), 0.0] for i in range(20)])  # the threshold keeps all but the smallest
    rows = detection_rows(inside, [[0.5, 0.0], [1.5, 0.0], [0.2, 0.0], [0.1, 0.0]])
    assert [row["score"] for row in rows] == ["maximum probability", "energy"]
    assert all(row["outside_at_95"] == 0.25 for row in rows)
    assert rows[0]["auroc"] == pytest.approx((4 * 18 + 3) / 80)
