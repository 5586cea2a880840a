"""BYOT: the deepest classifier of a network teaches classifiers after its earlier stages.

    labels ──▶ exit 1, exit 2, ..., exit C
    exit C ──logits, features (detached)──▶ exit 1, ..., exit C-1

    L = CE(z_C, y) + Σ_{i<C} [(1 - α) CE(z_i, y) + α T² KL(sg q_C ‖ q_i) + λ ‖F_i - sg F_C‖²],   q_i = softmax(z_i / T)

Source: Zhang, Song, Gao, Chen, Bao, Ma, "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks
via Self Distillation", ICCV 2019, arXiv 1905.08094. The paper gives no α, T, λ; these are those of a widely used
re-implementation, which also multiplies the cross entropy of the deepest exit by 1 - α (`deepest_alpha`) and sums the
squares over its batch of 128. Features are compared after pooling, as there. Bottlenecks are stacks of strided 3x3
convolutions (ours). The further exits are dropped from the student; --keep exits saves the network with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Positive, Range, Size
from mulde.engine import Clock
from mulde.engine.protocol import Needs, Role, Trained
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import Split
from mulde.vision.models import seeded
from mulde.vision.models.exits import Exit, ExitHeads, ExitNetwork, exit_heads
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import evaluate, exit_metrics
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training

Alpha = Annotated[float, Range(0, 1)]
"""Type of a fraction of the weight."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The re-implementation's values for CIFAR-100."""

    student: str = "cifar-resnet18"
    """The network, see `mulde.vision.models.networks`; at least two stages."""
    channels: Size = 16
    """Channels of the first stage of a residual network of three stages."""
    exits: bool = True
    """Train the further exits; without them this is training on labels."""
    alpha: Alpha = 0.1
    """α, weight of the deepest exit's predictions at the others; 1 - α is that of the labels."""
    deepest_alpha: Alpha = 0.0
    """1 minus the weight of the deepest exit's cross entropy; 0.1 in the re-implementation."""
    hint_weight: NonNegative = 1.28e-4
    """λ, weight of the squared distance of features, summed over channels, mean over images."""
    temperature: Positive = 3.0
    """T."""
    shuffled: bool = False
    """Control: the shallow exits receive predictions and features of other images of the batch."""
    training: Training = field(default_factory=Training)
    """Epochs, batches and optimiser."""


RECOMMENDED = {**ONE_COMPUTER, "student": "resnet20"}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-distillation"
NEEDS = Needs("images", {"student": Role("stages")})


def squared_distance(own: Tensor, target: Tensor) -> Tensor:
    """‖own - target‖² of rows (b, d), mean over the batch."""
    return (own - target).square().sum(1).mean()


class BYOT(ClassifierMethod):
    """One learner, `student`, with the heads of its further exits."""

    def __init__(self, student: nn.Module, heads: ExitHeads | None, config: Config) -> None:
        super().__init__()
        self.student, self.heads, self.config = student, heads, config

    def learners(self) -> dict[str, Any]:
        return {"student": self.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, found = self.config, self.student(batch.images)
        hard = (1 - config.deepest_alpha) * functional.cross_entropy(found.logits, batch.labels)
        terms = {"student/hard": hard}
        if self.heads is None:
            return terms
        shallow: list[Exit] = self.heads(found.stages)
        target, features = (x.detach().roll(int(config.shuffled), 0) for x in (found.logits, found.pooled))
        for name, weight, each in (
            ("shallow", 1 - config.alpha, lambda own: functional.cross_entropy(own.logits, batch.labels)),
            ("soft", config.alpha, lambda own: kd(target, own.logits, config.temperature)),
            ("hint", config.hint_weight, lambda own: squared_distance(own.features, features)),
        ):
            if weight:
                terms[f"student/{name}"] = weight * torch.stack([each(own) for own in shallow]).sum()
        return terms

    def exported(self) -> dict[str, nn.Module]:
        """The network without further exits, and with them."""
        return {"student": self.student} | (
            {} if self.heads is None else {"exits": ExitNetwork(self.student, self.heads)}
        )


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The network."""
    return by_role(given, {"student": lambda: classifier("student", config.student, data, config.channels)})


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> BYOT:
    """The network with new heads for the size of the images, on the default batches."""
    student, heads = networks["student"], None
    if config.exits:
        with seeded(data.seed, "heads"):
            heads = exit_heads(student, data.train.pixels(slice(2)), data.classes)
    return BYOT(student, heads, config)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy; of every exit and of their mean; agreement of the first exit with the deepest."""
    found = evaluate(Trained(trained.student, trained.task), data)
    exits = trained.networks.get("exits")
    return found | (exit_metrics(exits, data.test) if isinstance(exits, ExitNetwork) else {})


STUDY = Study(
    config=Config(
        student="cnn-16-32-64",
        alpha=0.5,
        hint_weight=0.01,
        training=Training(60, 50, "none", OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9)),
    ),
    variants={
        "baseline": {"exits": False},
        "method": {},
        "weight 0": {"alpha": 0.0, "hint_weight": 0.0},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    evaluate=metrics,
    data="digits",
    train=200,
    paper_data="cifar100:PATH",
    notes="200 of the digits of scikit-learn; a network of three stages; α is 0.5 and λ 0.01",
    meaning="weight 0: deep supervision, the same exits trained on labels alone, with the computation of the method",
)
