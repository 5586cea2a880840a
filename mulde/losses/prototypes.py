"""Prototypes of local features: soft assignments, reconstructions, and losses that learn or match them.

Features are (..., d), one row for each position of a map. Nothing is detached in this file.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mulde.losses.soft_labels import kd


def assignment_logits(features: Tensor, prototypes: Tensor, temperature: float) -> Tensor:
    """cos(f, p) / τ of features (..., d) and prototypes (m, d): (..., m)."""
    return functional.normalize(features, dim=-1) @ functional.normalize(prototypes, dim=-1).T / temperature


def reconstruction(logits: Tensor, prototypes: Tensor) -> Tensor:
    """softmax(logits) P, the mean of the prototypes (m, d) by their assignments: (..., m) -> (..., d)."""
    return logits.softmax(-1) @ prototypes


def entropy_of_mean(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy in nats of the mean over all rows of softmax(logits / T); logits (..., m). At most ln m."""
    mean = (logits / temperature).softmax(-1).flatten(0, -2).mean(0)
    return torch.special.entr(mean).sum()


def assignment_kl(target: Tensor, own: Tensor) -> Tensor:
    """KL(softmax target ‖ softmax own) of assignments (..., m), summed over prototypes, mean over all positions."""
    return kd(target, own, temperature=1.0)
