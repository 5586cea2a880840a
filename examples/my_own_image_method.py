"""A distillation method of your own on images: the student copies the teacher's logits, more and more.

images ──labels──▶ student ◀──squared distance of logits, weight 0 ... w── teacher (frozen)

python examples/my_own_image_method.py
mulde distil --method examples/my_own_image_method.py --data digits --teacher RUN
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

import mulde.vision
from mulde.engine import Clock, Needs, Role, frozen, linear
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import Training

NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("logits")})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Networks, the weight of the loss, and the training."""

    student: str = "cnn-8-16"
    """The student."""
    teacher: str | None = None
    """The trained teacher, for example a run folder."""
    weight: float = 0.1
    """w, weight of the distance at the end of the training."""
    training: Training = field(default_factory=lambda: Training(epochs=5, batch_size=64))
    """Epochs, batches and optimiser."""


class CopiedLogits(ClassifierMethod):
    """One learner, `student`. The teacher is frozen: in eval mode, never updated, left out of checkpoints."""

    def __init__(self, student: nn.Module, teacher: nn.Module, weight: float):
        super().__init__()
        self.student, self.teacher, self.weight = student, frozen(teacher), linear(0.0, weight)

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        own, target = self.student(batch.images).logits, self.teacher(batch.images).logits
        distance = functional.mse_loss(own, target)
        return {
            "student/hard": functional.cross_entropy(own, batch.labels),
            "student/logits": self.weight(clock) * distance,
        }


def build(config: Config, data: Any, networks: dict[str, nn.Module]) -> CopiedLogits:
    """The method of the training; feed and evaluation are the default ones."""
    return CopiedLogits(networks["student"], networks["teacher"], config.weight)


def main() -> None:
    """The same from Python: train a teacher and distil it with this file."""
    teacher = mulde.vision.distil("supervised", train="digits", student="cnn-16-32", epochs=5, progress=print_text)
    mulde.vision.distil(__file__, train="digits", teacher=teacher, epochs=5, progress=print_text)


def print_text(progress: Any) -> None:
    if progress.text:
        print(progress.text)


if __name__ == "__main__":
    main()
