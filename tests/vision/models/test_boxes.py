"""Operators on boxes against independent evaluations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mulde.vision.models.boxes import (
    best_detections,
    clipped,
    decode,
    encode,
    pairwise_iou,
    roi_align,
    square_anchors,
    unsuppressed,
)


def drawn(*shape: int, seed: int = 0, size: float = 60.0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    low = torch.rand(*shape, 2, generator=random) * size
    return torch.cat([low, low + 2 + torch.rand(*shape, 2, generator=random) * size / 2], -1)


def test_pairwise_iou_by_hand() -> None:
    first = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6]])
    second = torch.tensor([[0.0, 0, 4, 4], [0, 0, 2, 2], [9, 9, 9, 12]])
    expected = torch.tensor([[1, 4 / 16, 0], [4 / 28, 0, 0]])
    torch.testing.assert_close(pairwise_iou(first, second), expected)


def test_anchors() -> None:
    found = square_anchors((2, 3), (8, 12), (4.0, 8.0))
    assert found.shape == (12, 4)
    assert found[:3].tolist() == [[0, 0, 4, 4], [-2, -2, 6, 6], [4, 0, 8, 4]]
    assert found[-1].tolist() == [6, 2, 14, 10]


def test_decode_inverts_encode() -> None:
    boxes, anchors = drawn(50).double(), drawn(50, seed=1).double()
    offsets = encode(boxes, anchors)
    torch.testing.assert_close(decode(offsets, anchors), boxes)
    by_hand = encode(torch.tensor([2.0, 0, 6, 8]), torch.tensor([0.0, 0, 4, 4]), (1, 1, 1, 1))
    torch.testing.assert_close(by_hand, torch.tensor([0.5, 0.5, 0, math.log(2)]))
    assert decode(torch.full((1, 4), 1e9), anchors[:1].float()).isfinite().all()


def test_clipped() -> None:
    assert clipped(torch.tensor([[-3.0, 2, 70, 90]]), (50, 60)).tolist() == [[0, 2, 60, 50]]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_suppression_is_the_greedy_one(threshold: float) -> None:
    bbox = pytest.importorskip("kornia.geometry.bbox")
    boxes = drawn(6, 80, seed=2) * torch.tensor([0.25, 0.25, 0.5, 0.5]) + torch.tensor([0.0, 0, 9, 9])
    stays = unsuppressed(boxes, threshold)
    assert 0.03 < stays.float().mean() < 0.9
    for own, kept in zip(boxes, stays, strict=True):
        theirs = bbox.nms(own, torch.arange(len(own), 0, -1).float(), threshold)
        assert kept.nonzero().flatten().tolist() == theirs.tolist()


def test_a_box_that_was_suppressed_suppresses_nothing() -> None:
    chain = torch.tensor([[[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]])  # neighbours overlap by 6 of 14
    assert unsuppressed(chain, 0.4).tolist() == [[True, False, True]]


def test_best_detections() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9], [30, 30, 40, 40], [0, 0, 10, 10]]])
    scores, labels = torch.tensor([[0.5, 0.9, 0.001, 0.4]]), torch.tensor([[0, 0, 0, 1]])
    found = best_detections(boxes, scores, labels, threshold=0.5, most=3)
    assert found.scores[0].tolist() == pytest.approx([0.9, 0.4, 0])  # one too weak, one double
    assert found.labels.tolist() == [[0, 1, -1]] and found.boxes[0, 2].tolist() == [0] * 4


def bilinear(channel: np.ndarray, y: float, x: float) -> float:
    """At continuous coordinates where position i of the map reaches from i to i + 1."""
    h, w = channel.shape
    y, x = min(max(y - 0.5, 0), h - 1), min(max(x - 0.5, 0), w - 1)
    top, left = int(y), int(x)
    down, right = min(top + 1, h - 1), min(left + 1, w - 1)
    upper = channel[top, left] * (1 - (x - left)) + channel[top, right] * (x - left)
    lower = channel[down, left] * (1 - (x - left)) + channel[down, right] * (x - left)
    return float(upper * (1 - (y - top)) + lower * (y - top))


def test_roi_align_point_by_point() -> None:
    features = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[[3.0, 5, 17, 30], [-4, 2, 9, 44]], [[0, 0, 48, 40], [20, 20, 26, 23]]])  # of 40 x 48
    found = roi_align(features, boxes, (40, 48), bins=3, samples=2)
    assert found.shape == (2, 2, 3, 3, 3)
    for image in range(2):
        for roi in range(2):
            left, top, right, bottom = (boxes[image, roi] / 8).tolist()
            for row in range(3):
                for column in range(3):
                    points = [
                        (top + (row + v) / 3 * (bottom - top), left + (column + u) / 3 * (right - left))
                        for v in (0.25, 0.75)
                        for u in (0.25, 0.75)
                    ]
                    for d in range(3):
                        expected = np.mean([bilinear(features[image, d].numpy(), y, x) for y, x in points])
                        assert found[image, roi, d, row, column].item() == pytest.approx(expected, abs=1e-5)


def test_roi_align_has_a_gradient_for_the_features_of_its_own_image_only() -> None:
    features = torch.rand(2, 1, 4, 4, requires_grad=True)
    roi_align(features, drawn(2, 3, size=8.0), (16, 16), 2)[0].sum().backward()
    assert features.grad is not None and features.grad[0].abs().sum() > 0 and features.grad[1].abs().sum() == 0
