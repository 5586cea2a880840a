"""Operations on boxes: overlaps, anchors, offsets, suppression, and features inside boxes.

Boxes are left, top, right, bottom in pixels of the image. torchvision, which has these operators, cannot be
imported beside the CPU build of torch; kornia's suppression, to which the tests compare, processes one
image box by box.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

LARGEST_GROWTH = math.log(1000 / 16)
"""Logarithm of the largest growth of a box relative to its anchor."""


class Detections(NamedTuple):
    """Detections in b images, in the order of their scores; empty places have label -1 and score 0."""

    boxes: Tensor
    """(b, n, 4)"""
    scores: Tensor
    """(b, n)"""
    labels: Tensor
    """(b, n) int64"""


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU (..., n, m) of boxes (..., n, 4) and (..., m, 4); 0 where neither has an area."""
    low = torch.maximum(first[..., :, None, :2], second[..., None, :, :2])
    high = torch.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1) for boxes in (first, second)]
    return shared / (areas[0][..., :, None] + areas[1][..., None, :] - shared).clamp_min(1e-7)


def square_anchors(size: Sequence[int], image: Sequence[int], sides: Sequence[float]) -> Tensor:
    """Squares around every position of a map: (h * w * sides, 4), positions row by row.

    Parameters
    ----------
    size
        (h, w) of the map.
    image
        (h, w) of the image.
    sides
        Sides of the squares in pixels, in their order at each position.
    """
    centres = [(torch.arange(count) + 0.5) * pixels / count for count, pixels in zip(size, image, strict=True)]
    y, x = torch.meshgrid(*centres, indexing="ij")
    half = torch.tensor(sides)[:, None] / 2 * torch.tensor([-1.0, -1.0, 1.0, 1.0])  # (sides, 4)
    return (torch.stack([x, y, x, y], -1).view(-1, 1, 4) + half).view(-1, 4)


def encode(boxes: Tensor, anchors: Tensor, scale: Sequence[float] = (0.1, 0.1, 0.2, 0.2)) -> Tensor:
    """Offsets (..., 4) of boxes from anchors: shift in anchor sizes and logarithm of growth, divided by `scale`."""
    centre, size = _centre_and_size(boxes)
    origin, unit = _centre_and_size(anchors)
    return torch.cat([(centre - origin) / unit, (size / unit).log()], -1) / boxes.new_tensor(scale)


def decode(offsets: Tensor, anchors: Tensor, scale: Sequence[float] = (0.1, 0.1, 0.2, 0.2)) -> Tensor:
    """Boxes (..., 4) at these offsets from anchors: the inverse of `encode`."""
    origin, unit = _centre_and_size(anchors)
    shift, growth = (offsets * offsets.new_tensor(scale)).split(2, -1)
    centre, half = origin + shift * unit, unit * growth.clamp(-LARGEST_GROWTH, LARGEST_GROWTH).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def clipped(boxes: Tensor, image: Sequence[int]) -> Tensor:
    """Boxes (..., 4) cut at the border of an image (h, w)."""
    return torch.minimum(boxes.clamp_min(0), boxes.new_tensor([image[1], image[0]] * 2))


def unsuppressed(boxes: Tensor, threshold: float) -> Tensor:
    """Greedy non-maximum suppression of boxes (b, n, 4), best first; returns which are kept, (b, n) bool.

    A box is removed if a better box that is kept overlaps it by more than the threshold. The rule is applied to all
    boxes at once until nothing changes. The result is the greedy one, after as many rounds as the longest chain of
    overlapping boxes, usually three or four.
    """
    over = (pairwise_iou(boxes, boxes) > threshold).tril(-1)  # [j, i]: the better box i overlaps box j
    stays = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    while True:
        after = ~(over & stays[:, None, :]).any(2)
        if torch.equal(after, stays):
            return stays
        stays = after


def best_detections(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    *,
    threshold: float,
    most: int,
    before: int = 300,
    least: float = 0.01,
) -> Detections:
    """The `most` best of boxes (b, n, 4), suppressed within their class.

    Parameters
    ----------
    scores, labels
        (b, n)
    before
        Boxes that reach the suppression.
    least
        Smallest score.
    """
    scores, order = scores.topk(min(before, scores.shape[1]), 1)
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    labels = labels.gather(1, order)
    apart = labels[..., None] * (boxes.max() - boxes.min() + 1)  # classes are shifted apart, so that they never overlap
    stays = unsuppressed(boxes + apart, threshold) & (scores >= least)
    kept, order = torch.where(stays, scores, -torch.ones_like(scores)).topk(min(most, scores.shape[1]), 1)
    real = kept >= 0
    return Detections(
        boxes.gather(1, order[..., None].expand(-1, -1, 4)) * real[..., None],
        kept * real,
        torch.where(real, labels.gather(1, order), -1),
    )


def roi_align(features: Tensor, boxes: Tensor, image: Sequence[int], bins: int, samples: int = 2) -> Tensor:
    """Features inside boxes, (b, r, d, bins, bins): RoI-align (He et al. 2017).

    Each of bins x bins cells of a box is the mean of samples x samples points, bilinear between the positions
    of the map. Beyond the border of the map its border continues.

    Parameters
    ----------
    features
        (b, d, h, w)
    boxes
        (b, r, 4) in pixels of an image (h, w).
    """
    b, r, _ = boxes.shape
    points = bins * samples
    steps = (torch.arange(points, dtype=boxes.dtype, device=boxes.device) + 0.5) / points
    y, x = (boxes[..., i : i + 1] + steps * (boxes[..., i + 2 : i + 3] - boxes[..., i : i + 1]) for i in (1, 0))
    y, x = 2 * y / image[0] - 1, 2 * x / image[1] - 1  # (b, r, points), from -1 to 1 over the image
    grid = torch.stack([x[:, :, None, :].expand(-1, -1, points, -1), y[:, :, :, None].expand(-1, -1, -1, points)], -1)
    found = functional.grid_sample(
        features, grid.reshape(b, r * points, points, 2), padding_mode="border", align_corners=False
    )
    cells = functional.avg_pool2d(found, samples).view(b, -1, r, bins, bins)
    return cells.transpose(1, 2)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes.split(2, -1)
    return (low + high) / 2, high - low
