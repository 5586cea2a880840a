"""CWTM, DKPP and the watermark: the weights, the weighted loss, and what a permutation or a key keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mulde.losses.target_transforms import (
    confidence_weighted_cross_entropy,
    confidence_weights,
    keyed_smoothing,
    permuted_others,
)
from tests.losses import restated


def test_confidence_weighted_cross_entropy_equals_numpy() -> None:
    target, scores, labels = restated.drawn(6, 5, seed=1), restated.drawn(6, 5, seed=2), torch.arange(6) % 5
    confidence = restated.softmax(target.numpy()).max(1)
    p = restated.softmax(scores.numpy())
    expected = sum(w / confidence.sum() * -np.log(p[b, labels[b]]) for b, w in enumerate(confidence))
    found = confidence_weighted_cross_entropy(target, scores, labels).item()
    assert found == pytest.approx(expected, abs=1e-12)
    assert confidence_weights(target).sum().item() == pytest.approx(1, abs=1e-12)


def test_equal_confidence_gives_the_mean() -> None:
    target, scores, labels = torch.eye(4).double(), restated.drawn(4, 4, seed=3), torch.arange(4)
    expected = torch.nn.functional.cross_entropy(scores, labels).item()
    assert confidence_weighted_cross_entropy(target, scores, labels).item() == pytest.approx(expected, abs=1e-12)


def test_a_permutation_keeps_the_first_class_and_the_values_of_the_others() -> None:
    target = restated.drawn(200, 6, seed=4)
    torch.manual_seed(0)
    found = permuted_others(target)
    assert torch.equal(found.argmax(1), target.argmax(1)) and torch.equal(found.amax(1), target.amax(1))
    assert torch.equal(found.sort(1).values, target.sort(1).values)
    moved = (found != target).double().mean().item()
    assert moved == pytest.approx(5 / 6 * 4 / 5, abs=0.05)  # of 5 others each stays in its place with probability 1/5
    orders = {tuple(row.argsort().tolist()) for row in (found - target)}
    assert len(orders) > 100  # every row has an order of its own


def test_keyed_smoothing_equals_numpy_and_keeps_the_first_class() -> None:
    target, carrier = restated.drawn(40, 5, seed=5, scale=0.3), restated.drawn(40, seed=6).sin()
    signs = torch.tensor([1.0, -1.0, 0.0, 1.0, -1.0], dtype=torch.float64)
    found = keyed_smoothing(target, carrier, signs, 0.3)
    limited = 0
    for b, p in enumerate(restated.softmax(target.numpy())):
        pattern = 0.9 * carrier[b].item() * signs.numpy() / 5
        first, share = p.argmax(), 0.3
        for k in range(5):
            if (risk := pattern[k] - pattern[first]) > 0:
                share = min(share, 0.99 * (p[first] - p[k]) / (p[first] - p[k] + risk))
        limited += share < 0.3
        expected = np.log((1 - share) * p + share * (1 / 5 + pattern))
        np.testing.assert_allclose(found[b].numpy(), expected, rtol=0, atol=1e-9)
    assert torch.equal(found.argmax(1), target.argmax(1)) and 3 < limited < 37
    assert found.exp().sum(1).numpy() == pytest.approx(1, abs=1e-12)


def test_keyed_smoothing_leaves_out_impossible_classes() -> None:
    target = torch.tensor([[1.0, 0.0, -torch.inf, -1.0]]).double()
    carrier, signs = torch.tensor([1.0]).double(), torch.tensor([1.0, -1.0, 1.0, -1.0]).double()
    found = keyed_smoothing(target, carrier, signs, 0.1)
    rest = [0, 1, 3]
    assert found[0, 2] == -torch.inf
    assert torch.allclose(found[:, rest], keyed_smoothing(target[:, rest], carrier, signs[rest], 0.1), atol=1e-12)
