"""Losses of detectors for classes and boxes, against labels and against a teacher.

Boxes are left, top, right, bottom. Losses are returned per element or per row, because detectors divide by different
counts (anchors, positives, proposals).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al. 2017) of every logit, in the shape of `logits`.

        α_t (1 - p_t)^γ · (-log p_t),   p_t = p and α_t = α where the target is 1, 1 - p and 1 - α where it is 0

    Parameters
    ----------
    targets
        0 or 1, of the same shape.
    """
    p = logits.sigmoid()
    distance = targets * (1 - p) + (1 - targets) * p  # 1 - p_t
    balance = targets * alpha + (1 - targets) * (1 - alpha)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return balance * distance**gamma * cross_entropy


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (...,) of corresponding boxes (..., 4)."""
    shared, union, _ = _areas(first, second)
    return shared / union


def giou_loss(own: Tensor, target: Tensor) -> Tensor:
    """1 - GIoU (...,) of corresponding boxes (..., 4), between 0 and 2 (Rezatofighi et al. 2019)."""
    shared, union, hull = _areas(own, target)
    return 1 - shared / union + (hull - union) / hull


def bounded_regression(own: Tensor, teacher: Tensor, target: Tensor, margin: float = 0.0) -> Tensor:
    """‖own - target‖² (n,) where it plus the margin exceeds the teacher's ‖teacher - target‖², exactly 0 elsewhere.

    Chen et al. 2017: the target is the ground truth; the teacher's error is the bound below which the loss is zero.

    Parameters
    ----------
    own, teacher, target
        (n, 4) offsets of a box.
    """
    error = (own - target).square().sum(1)
    bound = (teacher - target).square().sum(1)
    return torch.where(error.detach() + margin > bound, error, torch.zeros_like(error))


def weighted_soft_cross_entropy(teacher: Tensor, own: Tensor, weights: Tensor) -> Tensor:
    """-Σ_c w_c softmax(teacher)_c log softmax(own)_c for every row (n,) (Chen et al. 2017, T = 1).

    Parameters
    ----------
    teacher, own
        (n, k) logits.
    weights
        (k,), larger for the background, which is the first class there.
    """
    return -(weights * teacher.softmax(1) * own.log_softmax(1)).sum(1)


def focal_kl(teacher: Tensor, own: Tensor, power: float = 0.5) -> Tensor:
    """((p - q)² + 1e-6)^(power/2) · KL(p ‖ q) of independent sigmoids p = σ(teacher), q = σ(own), for every logit.

    The soft label loss of label assignment distillation (SoLAD, Nguyen et al. 2022): |p - q|^power, smoothed as in the
    authors' code, because the slope of the power is infinite where p and q are equal.
    """
    p, q = teacher.sigmoid(), own.sigmoid()
    positive = p * (functional.logsigmoid(teacher) - functional.logsigmoid(own))
    negative = (1 - p) * (functional.logsigmoid(-teacher) - functional.logsigmoid(-own))
    factor: Tensor = ((p - q).square() + 1e-6) ** (power / 2)
    return factor * (positive + negative)


def _areas(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas of intersection, union and hull; a box with crossed sides has area 0."""
    shared = _area(torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:]))
    hull = _area(torch.minimum(first[..., :2], second[..., :2]), torch.maximum(first[..., 2:], second[..., 2:]))
    union = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - shared
    return shared, union.clamp_min(1e-7), hull.clamp_min(1e-7)


def _area(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0).prod(-1)
