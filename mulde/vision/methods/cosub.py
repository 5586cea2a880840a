"""cosub: two random submodels of one network teach each other.

    image ─▶ network with random blocks skipped ─▶ z_1 ◀──┐ each learns from
    image ─▶ network with other blocks skipped  ─▶ z_2 ◀──┘ the other, and from the label

    L = (1 - λ)/2 [C(z_1, y) + C(z_2, y)] + λ/2 [C(z_1, sg q_2) + C(z_2, sg q_1)]

C is the binary cross entropy with q = sigmoid(z), or the cross entropy with q = softmax(z).

Source: Touvron, Cord, Oquab, Bojanowski, Verbeek, Jégou, "Co-training 2^L Submodels for Visual Recognition", CVPR 2023,
arXiv 2212.04884; loss and weights as in the released code, which uses the binary cross entropy. There is no
temperature, no average and no teacher, and the whole network is used afterwards. Both passes are one pass of 2B rows
with the same augmented images. An epoch has the updates of batches of B images, and the learning rate is that for B;
the record of the training counts twice as many forward samples as samples. Networks and schedule are ours: the paper's
are for ImageNet. As an addition to other methods, such as `deit`, it is the option --cosub-weight
(`mulde.vision.training.cosub`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Range, Size
from mulde.engine import Clock
from mulde.engine.protocol import Needs, Role, Trained
from mulde.losses.mutual import Criterion, criterion, mutual_distillation
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.models.stochastic_depth import residual_blocks, stochastic_depth
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import evaluate, network_accuracy
from mulde.vision.training.feeds import ImageBatch, pass_over
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """λ and the criterion of the paper, with a network for small images."""

    student: str = "resnet56"
    """The network, see `mulde.vision.models.networks`; residual."""
    channels: Size = 16
    """Channels of the first stage of a residual network of three stages."""
    criterion: Criterion = "bce"
    """C. bce: binary cross entropy, mean over classes. ce: cross entropy."""
    soft_weight: Annotated[float, Range(0, 1)] = 0.5
    """λ, weight of the other submodel's predictions; 1 - λ is that of the labels."""
    drop_rate: Annotated[float, Range(0, 0.99)] = 0.2
    """Probability that an image skips a block, the same for all blocks that keep their shape. Larger networks take
    larger ones."""
    shuffled: bool = False
    """Control: a submodel receives the predictions for other images of the batch."""
    training: Training = field(default_factory=Training)
    """Epochs, batches and optimiser."""


RECOMMENDED = {**ONE_COMPUTER, "student": "resnet20", "drop_rate": 0.1}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-distillation"
NEEDS = Needs("images", {"student": Role("logits")})


class Cosub(ClassifierMethod):
    """One learner, `student`."""

    def __init__(self, student: nn.Module, config: Config) -> None:
        super().__init__()
        residual_blocks(student)  # refused before the first step
        self.student, self.config = student, config

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config = self.config
        weight, kind = config.soft_weight, config.criterion
        images, rate = batch.images, config.drop_rate
        with stochastic_depth(residual_blocks(self.student), rate):
            both = self.student(torch.cat([images, images]) if rate else images).logits  # rate 0: the same submodel
        first, second = both.chunk(2) if rate else (both, both)
        labels = functional.one_hot(batch.labels, first.shape[1]).to(first.dtype)
        terms = {}
        if weight < 1:
            hard = criterion(first, labels, kind) + criterion(second, labels, kind)
            terms["student/hard"] = (1 - weight) / 2 * hard
        if weight:
            soft = mutual_distillation(first, second, kind, int(config.shuffled))
            terms["student/soft"] = weight / 2 * soft
        return terms


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The network."""
    return by_role(given, {"student": lambda: classifier("student", config.student, data, config.channels)})


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Cosub:
    """The network on the default batches."""
    return Cosub(networks["student"], config)


def accuracy_without(network: nn.Module, images: ImageSet, number: int, draws: int = 5) -> float:
    """Mean accuracy of the network without `number` of its residual blocks, over random choices of them."""
    blocks, generator, found = residual_blocks(network), random.Random(0), 0.0
    for _ in range(draws):
        with stochastic_depth(generator.sample(blocks, min(number, len(blocks))), 1.0):
            found += network_accuracy(network, images) / draws
    return found


@torch.no_grad()
def divergence(network: nn.Module, images: ImageSet, rate: float) -> float:
    """Mean KL between two random submodels of every image, in eval mode."""
    blocks, device, total = residual_blocks(network), next(network.parameters()).device, 0.0
    network.eval()
    with torch.random.fork_rng(), stochastic_depth(blocks, rate):
        torch.manual_seed(0)
        for batch in pass_over(images):
            first, second = network(torch.cat([batch.images, batch.images]).to(device)).logits.chunk(2)
            total += len(first) * kd(first, second, 1.0).item()
    return total / len(images)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy; without 1, 2 and 3 of the blocks; divergence of two submodels of a drop rate of 0.3."""
    network, test = trained.student, data.test
    without = {f"without_{number}": accuracy_without(network, test, number) for number in (1, 2, 3)}
    return {**evaluate(trained, data), **without, "divergence": divergence(network, test, 0.3)}


STUDY = Study(
    config=Config(
        student="resnet20",
        channels=8,
        criterion="ce",
        drop_rate=0.3,
        training=Training(40, 50, "none", OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9)),
    ),
    variants={
        "baseline": {"soft_weight": 0.0, "drop_rate": 0.0},
        "method": {},
        "weight 0": {"soft_weight": 0.0},
        "control": {"shuffled": True},
        "longer": {
            "soft_weight": 0.0,
            "drop_rate": 0.0,
            "training": Training(2 * 40, 50, "none", OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9)),
        },
    },
    metric="accuracy",
    second_metric="without_2",
    evaluate=metrics,
    data="digits",
    train=200,
    paper_data="cifar100:PATH",
    notes="200 of the digits of scikit-learn; seven blocks that can be skipped, with probability 0.3; cross entropy",
    meaning="baseline: no block is skipped; weight 0: stochastic depth in the same two passes, trained on labels "
    "alone; longer: twice the epochs of the baseline, for the two passes of the method",
)
