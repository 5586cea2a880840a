"""SD-Dropout as an addition to any method: a further loss on the input of the student's classifier.

The method computes its own losses. The input that the classifier received meanwhile is dropped twice, and the
classifier alone is computed again on both. The method that has this loss alone is `methods/sd_dropout.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from mulde.config import NonNegative, Positive, Range
from mulde.engine import Callback, Clock, Method
from mulde.errors import UsageError
from mulde.losses.dropout import dropout_distillation
from mulde.vision.models.classifiers import classifier_of, inputs_of

if TYPE_CHECKING:
    from mulde.engine.learning import Learner

Rate = Annotated[float, Range(0, 0.99)]
"""Type of a probability of dropping."""


@dataclass(frozen=True, kw_only=True)
class SDDropoutOptions:
    """Self-distillation between two dropout samples, added to the losses of any method that trains a classifier."""

    sd_dropout_weight: NonNegative = 0.0
    """Weight of the divergence between two dropout samples of the classifier's input (SD-Dropout); 0: none."""
    sd_dropout_rate: Rate = 0.5
    """Probability that an entry is dropped in SD-Dropout."""
    sd_dropout_temperature: Positive = 3.0
    """T of SD-Dropout."""
    sd_dropout_detach: bool = False
    """Whether targets in SD-Dropout have no gradient."""

    def callbacks(self) -> list[Callback]:
        """The callback for the trainer, if the weight is positive."""
        if not self.sd_dropout_weight:
            return []
        return [
            SDDropoutTerm(
                self.sd_dropout_weight, self.sd_dropout_rate, self.sd_dropout_temperature, self.sd_dropout_detach
            )
        ]


@dataclass
class SDDropoutTerm(Callback):
    """Adds `weight` times `dropout_distillation` of the exported student; the mean where it is called several times."""

    weight: float
    rate: float = 0.5
    temperature: float = 3.0
    detach: bool = False

    def begin(self, method: Method, learners: Mapping[str, Learner], feed: Any) -> None:
        """Find the student's classifier and its learner.

        Raises
        ------
        UsageError
            If the student has no linear classifier.
        """
        student = next(iter(method.exported().values()))
        own = {id(parameter) for parameter in student.parameters()}
        self._classifier = classifier_of(student)
        self._learner = next(
            name for name, learner in learners.items() if any(id(parameter) in own for parameter in learner.parameters)
        )
        self._open = ExitStack()
        self._inputs = self._open.enter_context(inputs_of(self._classifier, learning=True))

    def before_update(self, clock: Clock) -> None:
        """Forget inputs from outside the losses."""
        self._inputs.clear()

    def losses(self, batch: Any, clock: Clock) -> dict[str, Tensor]:
        """The loss on the inputs since the last call."""
        features = list(self._inputs)
        if not features:
            raise UsageError(
                "SD-Dropout needs the input of the student's classifier, and the losses of this method do not compute "
                "it; set the weight of SD-Dropout to 0"
            )
        terms = [
            dropout_distillation(one, self._classifier, self.rate, self.temperature, self.detach) for one in features
        ]
        self._inputs.clear()
        return {f"{self._learner}/sd_dropout": self.weight * torch.stack(terms).mean()}

    def end(self) -> None:
        """Remove the hook."""
        if hasattr(self, "_open"):
            self._open.close()
            self._inputs.clear()
