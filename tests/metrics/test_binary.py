"""Binary metrics against scikit-learn and against numbers done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mulde.errors import UsageError
from mulde.metrics.binary import binary_metrics, expected_calibration_error, reliability


def test_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    predicted = draw.random(200)
    labels = draw.random(200) < predicted**2
    found = binary_metrics(predicted, labels)
    positive = predicted >= 0.5
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, positive))
    assert found["f1"] == pytest.approx(metrics.f1_score(labels, positive))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(labels, predicted))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, predicted))


def test_calibration_error_by_hand() -> None:
    predicted, labels = [0.1, 0.15, 0.9, 1.0], [False, True, True, True]
    rows = reliability(predicted, labels, bins=2)
    assert [(row["number"], row["predicted"], row["observed"]) for row in rows] == [(2, 0.125, 0.5), (2, 0.95, 1.0)]
    assert expected_calibration_error(predicted, labels, bins=2) == pytest.approx((0.375 + 0.05) / 2)


def test_without_a_positive_prediction() -> None:
    assert binary_metrics([0.1, 0.2], [True, False])["f1"] == 0


@pytest.mark.parametrize(("predicted", "words"), [([0.5], "as many"), ([0.5, 1.5], "from 0 to 1; got 1.5"),
                                              ([0.5, float("nan")], "from 0 to 1; got nan")])  # fmt: skip
def test_what_is_no_probability(predicted: list[float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        binary_metrics(predicted, [True, False])
