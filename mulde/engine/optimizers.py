"""LARS: SGD whose steps are proportional to the weights of each layer, for very large batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class LARS(Optimizer):
    """v ← μ v + η r (g + λ w), w ← w - v, with r = trust · ‖w‖ / ‖g + λ w‖ (You et al. 2017).

    Vectors and scalars (biases, normalisations) have r = 1 and no weight decay, as in SimCLR's code.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update; a closure is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                change: Tensor = parameter.grad
                if parameter.ndim > 1:
                    change = change + group["weight_decay"] * parameter
                    size, length = parameter.norm(), change.norm()
                    ratio = group["trust"] * size / length
                    change = change * torch.where((size > 0) & (length > 0), ratio, 1.0)
                state = self.state[parameter]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(parameter)
                velocity = state["velocity"].mul_(group["momentum"]).add_(change, alpha=group["lr"])
                parameter.sub_(velocity)
        return None
