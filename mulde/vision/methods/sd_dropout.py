"""SD-Dropout: two dropout samples of the last feature teach each other.

    image ─▶ backbone ─▶ feature f ─▶ classifier ◀── cross entropy with the label
                             ├─ dropout ─▶ classifier ─▶ p_u ◀──┐ both directions
                             └─ dropout ─▶ classifier ─▶ p_v ◀──┘ of the KL divergence

    L = CE(W f, y) + λ T² [KL(p_u ‖ p_v) + KL(p_v ‖ p_u)],   p_u = softmax(W (u * f) / T)

Source: Lee, Park, Seo, Kang, "Self-Knowledge Distillation via Dropout", 2022, arXiv 2208.05642. Values, reduction and
both forms of the gradient are those of code with the first author's name; the equations of the paper were not compared.
There is no teacher, no further parameter, and one pass through the backbone per update. As an addition to other methods
it is the option --sd-dropout-weight (`mulde.vision.training.sd_dropout`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Positive, Size
from mulde.engine import Clock
from mulde.engine.protocol import Needs, Role, Trained
from mulde.losses.dropout import dropout_distillation
from mulde.metrics.binary import expected_calibration_error
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.classifiers import classifier_of, inputs_of
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import evaluate, logits_of
from mulde.vision.training.feeds import ImageBatch, pass_over
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.sd_dropout import Rate


@dataclass(frozen=True, kw_only=True)
class Config:
    """The values of the code for CIFAR-100."""

    student: str = "cifar-resnet18"
    """The network, see `mulde.vision.models.networks`."""
    channels: Size = 16
    """Channels of the first stage of a residual network of three stages."""
    soft_weight: NonNegative = 0.1
    """λ, weight of the divergence between the two samples; up to 1 in the paper."""
    rate: Rate = 0.5
    """β, probability that an entry of the feature is dropped."""
    temperature: Positive = 3.0
    """T."""
    detach: bool = False
    """Whether the target of each KL has no gradient. Without, both of its arguments have one."""
    dropped_labels: bool = False
    """Control: cross entropy of a dropped feature, as in ordinary dropout."""
    training: Training = field(
        default_factory=lambda: Training(
            optimizer=OptimizerSteps("sgd", 0.1, 1e-4, momentum=0.9, milestones=(100, 150))
        )
    )
    """Epochs, batches and optimiser."""


RECOMMENDED = {**ONE_COMPUTER, "student": "resnet20"}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-distillation"
NEEDS = Needs("images", {"student": Role("logits")})


class SDDropout(ClassifierMethod):
    """One learner, `student`."""

    def __init__(self, student: nn.Module, config: Config) -> None:
        super().__init__()
        classifier_of(student)  # refused before the first step
        self.student, self.config = student, config

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, head = self.config, classifier_of(self.student)
        with inputs_of(head) as inputs:
            logits = self.student(batch.images).logits
        if config.dropped_labels:
            logits = head(functional.dropout(inputs[0], config.rate))
        terms = {"student/hard": functional.cross_entropy(logits, batch.labels)}
        if config.soft_weight:
            loss = dropout_distillation(inputs[0], head, config.rate, config.temperature, config.detach)
            terms["student/sd_dropout"] = config.soft_weight * loss
        return terms


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The network."""
    return by_role(given, {"student": lambda: classifier("student", config.student, data, config.channels)})


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> SDDropout:
    """The network on the default batches."""
    return SDDropout(networks["student"], config)


@torch.no_grad()
def divergence(network: nn.Module, images: ImageSet, rate: float, temperature: float) -> float:
    """Mean KL between two dropout samples of every image, of both directions; the network is in eval mode."""
    head, device, total = classifier_of(network), next(network.parameters()).device, 0.0
    network.eval()
    with torch.random.fork_rng(), inputs_of(head) as inputs:
        torch.manual_seed(0)
        for batch in pass_over(images):
            network(batch.images.to(device))
            features = inputs.pop()
            total += len(features) * dropout_distillation(features, head, rate, temperature).item()
            inputs.clear()
    return total / (2 * temperature**2 * len(images))


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy; calibration error, negative because less is better; divergence of two dropout samples."""
    probabilities, labels = logits_of(trained.student, data.test).softmax(1), data.test.labels
    confidence, predicted = probabilities.max(1)
    error = expected_calibration_error(confidence.numpy(), (predicted == labels).numpy())
    found = divergence(trained.student, data.test, config.rate, config.temperature)
    return {**evaluate(trained, data), "negative_ece": -error, "divergence": found}


STUDY = Study(
    config=Config(
        student="cnn-16-32-64",
        soft_weight=1.0,
        training=Training(120, 50, "none", OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9)),
    ),
    variants={
        "baseline": {"soft_weight": 0.0},
        "method": {},
        "control": {"soft_weight": 0.0, "dropped_labels": True},
    },
    metric="accuracy",
    second_metric="negative_ece",
    evaluate=metrics,
    data="digits",
    train=100,
    paper_data="cifar100:PATH",
    notes="100 of the digits of scikit-learn; λ is 1; all variants pass once through the backbone per update",
    meaning="control: cross entropy of a dropped feature, without the divergence between two",
)
