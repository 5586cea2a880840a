"""CuDFKD: distillation from the teacher alone, on generated pictures that become harder.

    noise ──▶ generator ──▶ pictures ──▶ teacher (frozen) ──soft loss, easy pictures first──▶ student
                  ▲                         │                                                    │
                  └── certain, balanced classes, stored statistics ──┴── adversarial, later ─────┘

    student    L_S = mean_b v_b l_b,  l_b = T² KL(teacher ‖ student),  v_b = (1 + e^-λ) / (1 + e^(l_b - λ))
    generator  L_G = c H(mean_b p_b) + o CE(z, argmax z) + s Σ_layers statistics - a(epoch) mean_b l_b

Source: Li, Zhou, Li, Wang, Yu, Bu, "Dynamic Data-Free Knowledge Distillation by Easy-to-Hard Learning Strategy",
Information Sciences 2023, arXiv 2208.13648, and the authors' code. c is negative: the entropy of the mean prediction
is made large. v and λ = λ_0 + growth · updates are the curriculum of the student, a(epoch) that of the generator. Ours:
the generator, and the distance of the statistics, which is DeepInversion's; the generator's step and the first of the
student's steps of a round use the same pictures, in one update. A given teacher is all that the training reads; one
that is not given is first trained on the labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, NonNegative, Positive, Size
from mulde.engine import Clock, OptimizerSpec, frozen, is_frozen
from mulde.engine.batch_statistics import statistic_distances
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.prototypes import entropy_of_mean
from mulde.losses.soft_labels import kd
from mulde.metrics.agreement import agreement_metrics
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import seeded
from mulde.vision.models.generator import Generator
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.cached import Outputs
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import logits_of
from mulde.vision.training.feeds import ImageBatch, NoiseFeed
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for CIFAR-10, with smaller networks."""

    student: str = "resnet20"
    """The student."""
    teacher: str = "resnet56"
    """The teacher, with batch normalisation; it is first trained on the labels unless it is given."""
    channels: Size = 16
    """Channels of a residual network's first stage, in both."""
    updates: Count = 400
    """Updates of the student per epoch, each on a new batch of generated pictures."""
    student_updates: Count = 10
    """Updates of the student for each update of the generator."""
    latent: Size = 100
    """Random numbers from which a picture is generated."""
    width: Size = 64
    """Channels of the generator."""
    generator_lr: Positive = 1e-3
    """Learning rate of the generator (Adam)."""
    temperature: Positive = 3.0
    """T of the loss between teacher and student."""
    entropy_weight: float = -20.0
    """c, weight of the entropy of the mean prediction; below 0 all classes are generated."""
    entropy_temperature: Positive = 20.0
    """Temperature of that mean prediction."""
    certainty_weight: NonNegative = 1.0
    """o, weight of the cross entropy with the class that the teacher predicts."""
    statistics_weight: NonNegative = 1.0
    """s, weight of the distance from the teacher's stored statistics of batch normalisation."""
    adversarial_growth: NonNegative = 0.3
    """Growth of a, the weight of the adversarial term, per epoch, from a quarter to three quarters of the epochs."""
    threshold: NonNegative = 2.35
    """λ_0, the value of λ at the beginning. A picture whose loss is λ has about half of the weight of an easy one."""
    threshold_growth: NonNegative = 1e-4
    """Growth of λ per update."""
    generated: bool = True
    """False: the baseline, the same student on Gaussian noise."""
    shuffled: bool = False
    """Control: the student learns the teacher's outputs for other pictures of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            250, 512, "none", OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, schedule="cosine")
        )
    )
    """Epochs, batches and optimiser of the student; generated pictures are not augmented."""
    teacher_training: Training = field(default_factory=Training)
    """Training of a teacher that is not given."""


RECOMMENDED = {
    "epochs": 30,
    "batch_size": 128,
    "updates": 100,
    "augment": "none",
    "lr": 0.05,
    "schedule": "cosine",
    **{f"teacher_{name}": value for name, value in ONE_COMPUTER.items()},
}
"""Options of the preset `recommended`."""

FIELD = "few or no data"
NEEDS = Needs(
    "images",
    {"student": Role("logits"), "teacher": Role("logits")},
    controls=frozenset({"order", "views"}),
    reads_training_images=False,
)


def adversarial_weight(clock: Clock, growth: float) -> float:
    """a: 0 for a quarter of the epochs, then `growth` more in each until three quarters, then constant."""
    epochs = clock.epochs or 1
    return growth * min(max(clock.epoch - 0.25 * epochs, 0.0), 0.5 * epochs)


def curriculum_weights(losses: Tensor, threshold: float) -> Tensor:
    """v = (1 + e^-λ) / (1 + e^(l - λ)) of each loss l (b,): 1 at a loss of 0, about 1/2 at λ."""
    return (1 + math.exp(-threshold)) * (threshold - losses).sigmoid()


class CuDFKD(ClassifierMethod):
    """Two learners, `student` and `generator`, each with gradients of its own terms, and a frozen teacher."""

    isolated = True

    def __init__(self, student: nn.Module, teacher: nn.Module, generator: Generator, config: Config) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        self.generator = generator if config.generated else None
        self.temperature = config.temperature
        # With a watermark the student learns from the marked logits; the generator always reads the teacher itself.
        self.outputs = Outputs(config.training.watermark.on(self.teacher, "logits"))

    def learners(self) -> dict[str, Any]:
        found = {"student": self.student.parameters()}
        return found if self.generator is None else {**found, "generator": self.generator.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        """The student's loss, and in the first update of a round the generator's too, on the same pictures."""
        config = self.config
        updates_generator = self.generator is not None and clock.step % config.student_updates == 0
        with torch.set_grad_enabled(updates_generator and torch.is_grad_enabled()):
            pictures = self.pictures(batch)
            if updates_generator and config.statistics_weight:
                with statistic_distances(self.teacher) as distances:
                    teacher: Tensor = self.teacher(pictures).logits
            else:
                teacher, distances = self.teacher(pictures).logits, []
        student = self.student(pictures).logits
        watermarked = self.outputs.network is not self.teacher
        target = self.outputs(pictures, batch.index).logits if watermarked else teacher.detach()
        if config.shuffled:
            target = target.roll(1, 0)
        losses = kd(target, student, self.temperature, "none")  # (b,)
        weights = curriculum_weights(losses.detach(), self._threshold(clock))
        found = {"student/soft": (weights * losses).mean()}
        if updates_generator:
            found |= self._generator_losses(teacher, student, clock)
            if distances:
                found["generator/statistics"] = config.statistics_weight * torch.stack(distances).sum()
        return found

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """The numbers of both curricula, λ and a."""
        weight = adversarial_weight(clock, self.config.adversarial_growth)
        return {"threshold": self._threshold(clock), "adversarial_weight": weight}

    def _threshold(self, clock: Clock) -> float:
        """λ, which grows with every update."""
        return self.config.threshold + self.config.threshold_growth * clock.step

    def pictures(self, batch: ImageBatch) -> Tensor:
        """Generated pictures, as many as the batch has; without a generator the noise itself."""
        if self.generator is None:
            return batch.images
        numbers = torch.randn(len(batch), self.generator.latent).to(batch.images)
        generated: Tensor = self.generator(numbers)
        return generated

    def _generator_losses(self, teacher: Tensor, student: Tensor, clock: Clock) -> dict[str, Tensor]:
        """The generator's losses by the logits (b, k) of teacher and student for its pictures."""
        config = self.config
        distance = kd(teacher, student, self.temperature, "none").mean()
        return {
            "generator/balance": config.entropy_weight * entropy_of_mean(teacher, config.entropy_temperature),
            "generator/certainty": config.certainty_weight * functional.cross_entropy(teacher, teacher.argmax(1)),
            "generator/adversarial": -adversarial_weight(clock, config.adversarial_growth) * distance,
        }


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student, a teacher and a generator; a given teacher is trained already."""
    new = {
        "student": lambda: classifier("student", config.student, data, config.channels),
        "teacher": lambda: classifier("teacher", config.teacher, data, config.channels),
    }
    size = data.train.images.shape[-1]
    with seeded(data.seed, "generator"):
        generator = Generator(config.latent, config.width, data.train.channels, size)
    return {**by_role(given, new, teachers=("teacher",)), "generator": generator}


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """Student and generator, on batches of noise. Of the training part only the shape of a picture is read."""
    if config.training.augment != "none" or config.training.kornia:
        raise UsageError("generated pictures are not augmented; give --augment none")
    shape, training = data.train.images.shape, config.training
    feed = NoiseFeed(shape[1], shape[-1], training.batch_size, config.updates, data.seed)
    method = CuDFKD(networks["student"], networks["teacher"], networks["generator"], config)
    both = {"student": training.optimizer, "generator": OptimizerSpec("adam", config.generator_lr)}
    return Setup(method, feed, optimizers={name: both[name] for name in method.learners()})


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the teacher, where it is not given, then student and generator in turn."""
    teacher, student = networks["teacher"], networks["student"]
    if not is_frozen(teacher):
        if (data.train.labels < 0).any():
            raise UsageError("some training pictures have no label to train a teacher on; give a trained --teacher")
        common = session.shared()
        train_on_labels(teacher, data.train, config.teacher_training, common, data.seed, "teacher", fraction=0.3)
    record = session.fit(build(config, data, networks), config)
    sheets = {"generated": samples(networks["generator"], data)} if config.generated else {}
    figures = fidelity(teacher, student, data.valid)
    return Trained(student, "classify", {"teacher": teacher}, record, figures, sheets)


@torch.no_grad()
def samples(generator: Generator, data: Split, count: int = 32) -> Tensor:
    """Generated pictures (count, channels, size, size) in [0, 1]; standardised ones are scaled as the data are."""
    generator.eval()
    numbers = torch.randn(count, generator.latent, generator=torch.Generator().manual_seed(0))
    pictures: Tensor = generator(numbers.to(generator.first.weight)).cpu()
    mean, deviation = data.scale or (torch.tensor(0.5), torch.tensor(0.25))
    return (pictures * deviation + mean).clamp(0, 1)


def fidelity(teacher: nn.Module, student: nn.Module, images: ImageSet) -> dict[str, float]:
    """Agreement of the student with the teacher, and KL(teacher ‖ student), on a part; nothing if it is empty."""
    if not len(images):
        return {}
    target, own = (logits_of(network, images).numpy() for network in (teacher, student))
    found = agreement_metrics(target, own, images.labels.numpy())
    return {name: found[name] for name in ("agreement", "kl")}


STUDY = Study(
    config=Config(
        student="cnn-16-32",
        teacher="cnn-32-64",
        updates=40,
        latent=32,
        width=32,
        training=Training(20, 64, "none", OptimizerSteps("adam", 2e-3, schedule="cosine")),
        teacher_training=Training(20, 64, "none", OptimizerSteps("adam", 2e-3)),
    ),
    variants={
        "baseline": {"generated": False},
        "method": {},
        "weight 0": {"statistics_weight": 0.0, "entropy_weight": 0.0},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    paper_data="cifar10:PATH",
    notes="the teacher is trained on digits; the students see none of them",
    meaning="baseline: the same student on Gaussian noise; weight 0: no statistics of the teacher and no balance of "
    "the classes; control: the teacher's outputs for other pictures",
)
