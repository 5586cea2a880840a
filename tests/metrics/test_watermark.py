"""Detection of a watermark: correlations within groups, and the rank of a key among others."""

from __future__ import annotations

import numpy as np
import pytest

from mulde.metrics.watermark import correlations, detection, projections


def test_correlations_equal_numpy_with_loops() -> None:
    draw = np.random.default_rng(0)
    scores, signs, carriers = draw.normal(size=(12, 4)), draw.choice([-1.0, 1.0], (3, 4)), draw.normal(size=(12, 3))
    scores[np.arange(12), np.arange(12) % 4] = np.nan
    groups = np.array([7, 2, 7] * 4)
    found = correlations(projections(scores, signs), carriers, groups)
    for key in range(3):
        left = []
        for row in scores:
            known = ~np.isnan(row)
            centred = row[known] - row[known].mean()
            left.append(centred / np.sqrt((centred**2).sum()) @ signs[key][known])
        own, other = np.array(left), carriers[:, key].copy()
        for group in (2, 7):
            own[groups == group] -= own[groups == group].mean()
            other[groups == group] -= other[groups == group].mean()
        assert found[key] == pytest.approx(own @ other / np.sqrt((own @ own) * (other @ other)), abs=1e-12)


def test_the_p_value_is_the_rank_among_all_keys() -> None:
    assert detection(np.array([0.3, 0.1, 0.5, -0.2])) == {"correlation": 0.3, "p_value": 0.5, "keys": 4.0}
    assert detection(np.array([0.9, *np.zeros(999)]))["p_value"] == pytest.approx(0.001)
