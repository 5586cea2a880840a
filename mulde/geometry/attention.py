"""The attention of AttH and AttE: a relation mixes its reflected and its rotated head.

Source: Chami et al. 2020, section 4.3; the scale 1/√d from KGEmb's code, where it is also found in the hyperbolic case.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mulde.geometry.givens import reflect, rotate


def attend(head: Tensor, rotation: Tensor, reflection: Tensor, context: Tensor) -> Tensor:
    """Mix Ref(φ)h and Rot(θ)h with weights softmax(<context, ·>/√d); all arguments and the result (..., d), d even."""
    views = torch.stack(torch.broadcast_tensors(reflect(reflection, head), rotate(rotation, head)), -2)
    weights = ((views * context.unsqueeze(-2)).sum(-1) / head.shape[-1] ** 0.5).softmax(-1)
    return (weights.unsqueeze(-1) * views).sum(-2)
