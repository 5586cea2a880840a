"""Losses between two predictions of one network, each of which learns from the other (cosub)."""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Criterion = Literal["bce", "ce"]
"""bce: binary cross entropy of each class, mean over classes. ce: cross entropy."""


def criterion(logits: Tensor, target: Tensor, kind: Criterion) -> Tensor:
    """Loss of logits (b, k) and target probabilities (b, k); mean over images, for bce also over classes."""
    if kind == "bce":
        return functional.binary_cross_entropy_with_logits(logits, target)
    return functional.cross_entropy(logits, target)


def mutual_distillation(first: Tensor, second: Tensor, kind: Criterion, shift: int = 0) -> Tensor:
    """C(z_1, sg q_2) + C(z_2, sg q_1) of logits (b, k) of the same images (Touvron et al. 2023, arXiv 2212.04884).

    Parameters
    ----------
    first, second
        z_1 and z_2.
    kind
        C, the `criterion`; q = sigmoid(z) for bce, softmax(z) for ce. Targets have no gradient.
    shift
        Rows by which the targets are moved, for a control in which they belong to other images.
    """
    probabilities = torch.sigmoid if kind == "bce" else functools.partial(torch.softmax, dim=1)
    targets = [probabilities(z.detach()).roll(shift, 0) for z in (first, second)]
    return criterion(first, targets[1], kind) + criterion(second, targets[0], kind)
