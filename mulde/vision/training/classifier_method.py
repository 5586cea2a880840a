"""Base class of methods that train one classifier, the student."""

from __future__ import annotations

from torch import Tensor, nn

from mulde.engine import Method
from mulde.vision.training.feeds import ImageBatch


class ClassifierMethod(Method):
    """A method whose student is a classifier that is evaluated and kept as it is."""

    student: nn.Module
    """(b, channels, h, w) -> `Features`."""

    def predict(self, batch: ImageBatch) -> Tensor:
        """The student's logits (b, k)."""
        logits: Tensor = self.student(batch.images).logits
        return logits

    def exported(self) -> dict[str, nn.Module]:
        """The student."""
        return {"student": self.student}
