"""Sharpness-aware minimisation (SAM), an update rule."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mulde.engine.batch_statistics import fixed_statistics
from mulde.engine.update import Update
from mulde.errors import UsageError


@dataclass(frozen=True)
class SharpnessAware:
    """The gradient at the weights w + ρ g / ‖g‖, applied at w (Foret et al. 2021, algorithm 1).

    g is the gradient at w over all parameters of a learner. Batch normalisation stores the statistics of the first of
    the two passes only.
    """

    radius: float = 0.05
    """ρ."""

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise UsageError(f"the radius of SAM must be above 0; got {self.radius}")

    def __call__(self, update: Update) -> None:
        """One update with two gradients."""
        for number, batch in enumerate(update.batches):
            update.differentiate(update.losses(batch), number)
        parameters = [p for learner in update.active for p in learner.parameters if p.grad is not None]
        before = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for learner in update.active:
                gradients = [p.grad for p in learner.parameters if p.grad is not None]
                norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
                for parameter in learner.parameters:
                    if parameter.grad is not None:
                        parameter.add_(parameter.grad, alpha=float(self.radius / norm.clamp_min(1e-12)))
        update.forget_gradients()
        try:
            with fixed_statistics(update.method):
                for number, batch in enumerate(update.batches):
                    update.differentiate(update.losses(batch), number, logged=False)
        finally:
            with torch.no_grad():
                for parameter, value in zip(parameters, before, strict=True):
                    parameter.copy_(value)
        update.apply()
