"""cosub as an addition to any method: a second random submodel of the student, and both learn from each other.

    losses of the method ◀── student with random blocks skipped ─▶ z_1 ◀──┐ each learns from
           the same images ─▶ student with other blocks skipped ─▶ z_2 ◀──┘ the other

    L + w/2 [C(z_1, sg q_2) + C(z_2, sg q_1)]

The losses L of the method are those of the first submodel, whose logits and images are taken while the method computes
them. Of a network with two heads (DeiT), z is their mean. The method that has cosub alone is `methods/cosub.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from mulde.config import NonNegative, Range
from mulde.engine import Callback, Clock, Method
from mulde.errors import UsageError
from mulde.losses.mutual import Criterion, mutual_distillation
from mulde.vision.models.staged import Features
from mulde.vision.models.stochastic_depth import residual_blocks, stochastic_depth

if TYPE_CHECKING:
    from mulde.engine.learning import Learner


@dataclass(frozen=True, kw_only=True)
class CosubOptions:
    """A second random submodel of the student, added to the losses of any method that trains a classifier."""

    cosub_weight: NonNegative = 0.0
    """Weight of the loss between two random submodels of the student (cosub), which takes a second pass; 0: none."""
    cosub_rate: Annotated[float, Range(0, 0.99)] = 0.1
    """Probability that an image skips a block of the student in cosub."""
    cosub_criterion: Criterion = "ce"
    """Loss of cosub: bce (binary cross entropy) or ce (cross entropy)."""

    def callbacks(self) -> list[Callback]:
        """The callback for the trainer, if the weight is positive."""
        return [CosubTerm(self.cosub_weight, self.cosub_rate, self.cosub_criterion)] if self.cosub_weight else []


@dataclass
class CosubTerm(Callback):
    """Skips random blocks of the exported student in updates, and adds the loss between its two submodels."""

    weight: float
    rate: float = 0.1
    kind: Criterion = "ce"

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Any) -> None:
        """Find the student's blocks and its learner.

        Raises
        ------
        UsageError
            If the student has no residual blocks.
        """
        self._student = next(iter(method.exported().values()))
        self._blocks = residual_blocks(self._student)
        own = {id(parameter) for parameter in self._student.parameters()}
        self._learner = next(
            name for name, learner in learners.items() if any(id(parameter) in own for parameter in learner.parameters)
        )
        self._passes: list[tuple[Tensor, Tensor]] = []
        self._skipping = ExitStack()
        self._hook = self._student.register_forward_hook(self._taking())

    def before_update(self, clock: Clock) -> None:
        """Skip blocks from here, and forget passes from outside the losses."""
        self._passes.clear()
        self._skipping.enter_context(stochastic_depth(self._blocks, self.rate))

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        """The loss between the submodels of the method's passes and new ones of the same images; their mean."""
        passes = list(self._passes)
        if not passes:
            raise UsageError(
                "cosub needs the logits of the student, and the losses of this method do not compute them; set the "
                "weight of cosub to 0"
            )
        terms = [mutual_distillation(first, self._student(images).logits, self.kind) for images, first in passes]
        self._passes.clear()
        return {f"{self._learner}/cosub": self.weight / 2 * torch.stack(terms).mean()}

    def after_update(self, clock: Clock) -> None:
        """Skip no blocks until the next update."""
        self._skipping.close()

    def end(self) -> None:
        """Remove the hook."""
        if hasattr(self, "_hook"):
            self._skipping.close()
            self._hook.remove()

    def _taking(self) -> Any:
        passes = self._passes

        def take(student: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Features) and student.training and torch.is_grad_enabled():
                passes.append((inputs[0], output.logits))

        return take  # a function, not a method: a copy of the network keeps the list instead of this callback
