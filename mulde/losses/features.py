"""Losses between intermediate features: values, attention maps, and relations among images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from mulde.errors import UsageError


def hint(own: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over all elements of two features of one shape (FitNets, Romero et al. 2015).

    The student's feature is first brought to the teacher's shape by a learned adapter.
    """
    _refuse_other_shape(own, target)
    return (own - target).square().mean()


def attention_map(features: Tensor, power: float = 2.0, epsilon: float = 1e-12) -> Tensor:
    """Attention map of a feature: mean over channels of |f|^p, scaled to length 1 per image.

    Zagoruyko and Komodakis 2017, the activation-based map; an all-zero map stays zero.

    Parameters
    ----------
    features
        (b, d, h, w)

    Returns
    -------
    (b, h * w)
    """
    return functional.normalize(features.abs().pow(power).mean(1).flatten(1), dim=1, eps=epsilon)


def attention_distance(own: Tensor, target: Tensor, power: float = 2.0) -> Tensor:
    """Mean over images and positions of the squared difference of two attention maps.

    Parameters
    ----------
    own, target
        (b, d, h, w); channels may differ, and the larger map is averaged down to the smaller.
    """
    if own.shape[2:] != target.shape[2:]:
        size = (min(own.shape[2], target.shape[2]), min(own.shape[3], target.shape[3]))
        own = functional.adaptive_avg_pool2d(own, size)
        target = functional.adaptive_avg_pool2d(target, size)
    return (attention_map(own, power) - attention_map(target, power)).square().mean()


def attention_transfer(own: Sequence[Tensor], target: Sequence[Tensor], power: float = 2.0) -> Tensor:
    """Sum of `attention_distance` over pairs of stages (AT)."""
    if len(own) != len(target):
        raise UsageError(
            f"attention transfer needs as many stages of the student as of the teacher; "
            f"got {len(own)} and {len(target)}"
        )
    return torch.stack([attention_distance(a, b, power) for a, b in zip(own, target, strict=True)]).sum()


def map_distance(own: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two features (b, ...), each image flattened to unit length (FFSD)."""
    _refuse_other_shape(own, target)
    ours, theirs = (functional.normalize(x.flatten(1), dim=1) for x in (own, target))
    return (ours - theirs).square().mean()


def relational_distance(own: Tensor, target: Tensor) -> Tensor:
    """Huber difference of pairwise distances, each side divided by its mean (RKD, Park et al. 2019).

    Parameters
    ----------
    own, target
        (b, d) features, b > 1; dimensions may differ. The mean is over the b² entries, as in their code.
    """
    return functional.smooth_l1_loss(_relative_distances(own), _relative_distances(target))


def relational_angle(own: Tensor, target: Tensor) -> Tensor:
    """Huber difference of the cosines at every image in every triplet (RKD); memory grows with b³.

    Parameters
    ----------
    own, target
        (b, d) features; dimensions may differ.
    """
    return functional.smooth_l1_loss(_angles(own), _angles(target))


def similarity_matrix(first: Tensor, second: Tensor | None = None) -> Tensor:
    """Cosines (b, c) of all rows of first (b, d) with all rows of second (c, d), by default first."""
    first = functional.normalize(first.flatten(1), dim=1)
    return first @ (first if second is None else functional.normalize(second.flatten(1), dim=1)).T


def similarity_preserving(own: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of the row-normalised Gram matrices (b, b) (Tung and Mori 2019).

    Parameters
    ----------
    own, target
        (b, ...) features, flattened; dimensions may differ.
    """
    ours, theirs = (functional.normalize(x.flatten(1) @ x.flatten(1).T, dim=1) for x in (own, target))
    return (ours - theirs).square().mean()


def cosine_distance(own: Tensor, target: Tensor) -> Tensor:
    """1 - cosine of corresponding rows (b, d), mean over the batch (CBD's feature distillation)."""
    _refuse_other_shape(own, target)
    return 1 - functional.cosine_similarity(own, target, dim=1).mean()


def _relative_distances(features: Tensor) -> Tensor:
    """Euclidean distances (b, b) divided by the mean of the positive ones."""
    square = features.square().sum(1)
    squared = (square.unsqueeze(0) + square.unsqueeze(1) - 2 * features @ features.T).clamp_min(1e-12)
    # The diagonal is set to zero after the root, where its gradient would be infinite.
    distances = squared.sqrt() * (1 - torch.eye(len(features), dtype=features.dtype, device=features.device))
    return distances / distances[distances > 0].mean()


def _angles(features: Tensor) -> Tensor:
    """Cosine (b, b, b) at [i, j, k] of the angle at image i between the directions to j and k."""
    directions = functional.normalize(features.unsqueeze(0) - features.unsqueeze(1), dim=2)
    return directions @ directions.transpose(1, 2)


def _refuse_other_shape(own: Tensor, target: Tensor) -> None:
    if own.shape != target.shape:
        raise UsageError(
            f"the student's feature has shape {tuple(own.shape)}, the teacher's {tuple(target.shape)}; "
            "bring the student's to the teacher's shape with an adapter"
        )
