"""PLACE dropout as an addition to any method: in every update, channels of one random stage of the student are zeroed.

    image ─▶ stage 1 ─▶ stage 2 ─▶ stage 3 ─▶ ... ─▶ logits
                          │ drawn anew for each update
                          └─ of every sample floor(p C) random channels are 0, the others divided by 1 - p

    p = p_max · 2/π · arctan(e / τ) in the e-th epoch with dropout, counted from 0

Source: Guo, Qi, Shi, Gao, "PLACE dropout: Progressive Layer-wise and Channel-wise Dropout for Domain Generalization",
TOMM 2023, arXiv 2112.03676, and the authors' code: p_max is 0.33 (0.2 to 0.4), τ is 4, and the stages are the first
three of a residual network of four. They train 30 epochs without dropout and then 30 with it, from the last weights;
here that is one training with `place_begin`, whose optimizer and schedule go on. The authors' other parts are left out:
SwapStyle is not implemented, and RandAugment can be taken from kornia with the option `kornia`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from mulde.config import Count, Positive, Range
from mulde.engine import Callback, Clock, Method
from mulde.errors import UsageError
from mulde.vision.models.adapted import stage_layers

if TYPE_CHECKING:
    from mulde.engine.learning import Learner


@dataclass(frozen=True, kw_only=True)
class PlaceDropoutOptions:
    """Dropout of channels in one random stage of the student per update, added to any method."""

    place_dropout: Annotated[float, Range(0, 0.99)] = 0.0
    """Largest fraction of the channels of a stage that are zeroed in updates (PLACE dropout), usually 0.33; 0: off."""
    place_tau: Positive = 4.0
    """Epochs after which PLACE dropout has half of its largest fraction."""
    place_begin: Annotated[float, Range(0, 0.99)] = 0.0
    """Fraction of the training after which PLACE dropout begins; 0.5 in the paper."""
    place_stages: tuple[Count, ...] = (1, 2, 3)
    """Stages that PLACE dropout chooses from, counted from 1; those that the student does not have are left out."""

    def callbacks(self) -> list[Callback]:
        """The callback for the trainer, if the fraction is positive."""
        if not self.place_dropout:
            return []
        return [PlaceDropout(self.place_dropout, self.place_tau, self.place_begin, self.place_stages)]


@dataclass
class PlaceDropout(Callback):
    """Zeroes channels of one random stage of the exported student per update; never outside updates."""

    most: float = 0.33
    """p_max."""
    tau: float = 4.0
    """Epochs to half of p_max."""
    begin_at: float = 0.0
    """Fraction of the training after which dropout begins."""
    stages: tuple[int, ...] = (1, 2, 3)
    """Stages to choose from, counted from 1."""

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Any) -> None:
        """Attach to the student's stages.

        Raises
        ------
        UsageError
            If the student has none of the stages.
        """
        name, student = next(iter(method.exported().items()))
        layers = stage_layers(student)
        self._number = len(layers)
        chosen = [layer for number, layer in enumerate(layers, 1) if number in self.stages]
        if not chosen:
            raise UsageError(
                f"PLACE dropout needs stages {', '.join(map(str, self.stages))} of the network {name}, which has "
                f"{self._number or 'none that are known'}; take others with place_stages, choose a network with them, "
                "for example resnet20, or wrap yours as mulde.vision.models.Adapted(module, stages=(NAME, ...))"
            )
        self._first: int | None = None  # first epoch with dropout
        self._rate, self._stage = 0.0, -1
        self._layers = len(chosen)
        self._hooks = [layer.register_forward_hook(self._hook(number)) for number, layer in enumerate(chosen)]

    def before_update(self, clock: Clock) -> None:
        """Set the fraction, and draw the stage."""
        if clock.progress < self.begin_at:
            return
        if self._first is None:
            self._first = clock.epoch
        self._rate = rate(clock.epoch - self._first, self.most, self.tau)
        self._stage = int(torch.randint(self._layers, ()))

    def after_update(self, clock: Clock) -> None:
        """No dropout until the next update."""
        self._stage = -1

    def end(self) -> None:
        """Remove the hooks."""
        for hook in getattr(self, "_hooks", []):
            hook.remove()

    def values(self) -> dict[str, float]:
        """The present fraction."""
        return {"place_dropout": self._rate}

    def state_dict(self) -> dict[str, Any]:
        """The first epoch with dropout, and the present fraction."""
        return {"first": self._first, "rate": self._rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._first, self._rate = state["first"], state["rate"]

    def _hook(self, number: int) -> Any:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            dropped = self._stage == number and layer.training and torch.is_grad_enabled()
            return drop_channels(output, self._rate) if dropped else None

        return hook  # a function, not a method: a copy of the network keeps this callback instead of copying it


def rate(epoch: int, most: float, tau: float) -> float:
    """p of an epoch, counted from 0: most · 2/π · arctan(epoch / tau)."""
    return most * 2 / math.pi * math.atan(epoch / tau)


def drop_channels(features: Tensor, rate: float) -> Tensor:
    """Features (b, c, ...) with floor(rate · c) random channels of each sample zeroed, the others / (1 - rate)."""
    b, c = features.shape[:2]
    factors = torch.full((b, c), 1 / (1 - rate), dtype=features.dtype, device=features.device)
    zeroed = torch.rand(b, c, device=features.device).argsort(1)[:, : math.floor(rate * c)]
    factors.scatter_(1, zeroed, 0.0)
    return features * factors.reshape(b, c, *[1] * (features.ndim - 2))
