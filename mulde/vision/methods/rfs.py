"""RFS: an embedding for few-shot tasks, trained on labels of other classes and by self-distillation in generations.

    generation 0 ◀── labels of the base classes;   labels ──▶ generation g ◀──soft loss── generation g - 1 (frozen)
    then, in every few-shot task:   labelled images ──last generation──▶ features ──▶ logistic regression ──▶ classes

    L_g = (1 - α) CE(z_g, y) + α T² KL(softmax z_g-1/T ‖ softmax z_g/T),   g = 1 ... G

Source: Tian, Wang, Krishnan, Tenenbaum, Isola, "Rethinking Few-Shot Image Classification: a Good Embedding Is All You
Need?", ECCV 2020, arXiv 2003.11539. Weights, temperature and schedule are those of the released code; the equations of
the paper were not compared, and its ResNet-12 is a ResNet-18 here. `mulde evaluate RUN --episodes 5way5shot` evaluates
the features (`mulde.vision.training.few_shot`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Positive, Range, Size, Whole
from mulde.engine import Clock, frozen
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.episodes import EpisodeShape, episodes, with_new_classes
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.loading import load
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.evaluation import pooled_features
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.few_shot import HEADS, episode_accuracies
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


@dataclass(frozen=True, kw_only=True)
class Config:
    """The values of the released code."""

    student: str = "cifar-resnet18"
    """The network of every generation."""
    channels: Size = 16
    """Channels of the first stage of a residual network of three stages."""
    generations: Whole = 2
    """G, generations after the one that is trained on the labels; 0: no distillation."""
    alpha: Annotated[float, Range(0, 1)] = 0.5
    """α, weight of the soft loss; 1 - α is that of the labels."""
    temperature: Positive = 4.0
    """T."""
    shuffled: bool = False
    """Control: a generation receives the outputs for other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            100, 64, optimizer=OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, milestones=(60, 80))
        )
    )
    """Epochs, batches and optimiser of every generation."""


RECOMMENDED = {**ONE_COMPUTER, "student": "resnet20", "generations": 1}
"""Options of the preset `recommended`: networks and schedules for one computer."""

EPISODES = 200
"""Episodes of the study."""
FIELD = "few shots"
NEEDS = Needs("images", {"student": Role("logits")})


class RFS(ClassifierMethod):
    """One learner, `student`, and the generation before it, frozen; None: labels alone."""

    def __init__(self, student: nn.Module, before: nn.Module | None, config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.config, self.temperature = student, config, config.temperature
        self.before = None if before is None else frozen(before)
        self.outputs = None if before is None else config.training.outputs_of(before, images, "logits")

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own = self.config, self.student(batch.images).logits
        hard = functional.cross_entropy(own, batch.labels)
        if self.outputs is None:
            return {"student/hard": hard}
        images, rows = batch.images, batch.index
        if config.shuffled:
            images, rows = images.roll(1, 0), rows.roll(1)
        soft = kd(self.outputs(images, rows).logits, own, self.temperature)
        return {"student/hard": (1 - config.alpha) * hard, "student/soft": config.alpha * soft}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The last generation (`student`) and those before it, each with weights of its own; a given one is copied."""

    def made(name: str) -> nn.Module:
        return classifier(name, config.student, data, config.channels)

    def like_student(name: str) -> nn.Module:
        return copy.deepcopy(given["student"]) if "student" in given else made(name)

    before = {name: like_student(name) for name in earlier(config)}
    return {**by_role(given, {"student": lambda: made("student")}), **before}


def earlier(config: Config) -> list[str]:
    """Names of all generations but the last one; the stage that trains a generation has the same name."""
    return [f"generation-{i}" for i in range(config.generations)]


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> RFS:
    """The last generation with the one before it."""
    before = networks[earlier(config)[-1]] if config.generations else None
    return RFS(networks["student"], before, config, data.train)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the generations in turn."""
    kept: dict[str, nn.Module] = {name: networks[name] for name in earlier(config)}
    before: nn.Module | None = None
    for number, (name, network) in enumerate(kept.items()):
        fraction = 1 / (config.generations + 1 - number)
        if before is None:
            common = session.shared()
            train_on_labels(network, data.train, config.training, common, data.seed, name, fraction=fraction)
        else:
            setup = Setup(RFS(network, before, config, data.train), config.training.feed(data.train, data.seed))
            session.fit(setup, config, name=name, fraction=fraction)
        before = network
    record = session.fit(build(config, data, networks), config, data=data)
    return Trained(networks["student"], "classify", kept, record)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of a new classifier on the features: the mean over fixed episodes of the test part, 4way1shot.

    It is computed by `mulde ablate` only. `mulde evaluate --episodes` evaluates a run, with all entries of `HEADS`; a
    new head is a function in `mulde/vision/training/few_shot.py` and an entry there.
    """
    views = pooled_features(trained.student, data.test).unsqueeze(0)
    tasks = episodes(data.test.labels, EpisodeShape(4, 1), EPISODES)
    found = {name: float(episode_accuracies(head, views, tasks).mean()) for name, head in HEADS.items()}
    return {"episode_accuracy": found["logistic"], "prototype_accuracy": found["prototype"]}


def new_classes(spec: str) -> ImageSet:
    """Images whose test part has the images of the last four classes, and those only."""
    return with_new_classes(load(spec), 4)


STUDY = Study(
    config=Config(
        student="cnn-16-32-64",
        generations=1,
        training=Training(40, 64, "shift", OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9, schedule="cosine")),
    ),
    variants={"baseline": {"generations": 0}, "method": {}, "control": {"shuffled": True}},
    metric="episode_accuracy",
    second_metric="prototype_accuracy",
    evaluate=metrics,
    data="digits",
    read=new_classes,
    notes="the digits of scikit-learn: trained on 0 to 5, evaluated in 200 episodes of 6 to 9 with one labelled image "
    "per class",
    meaning="baseline: generation 0, which is trained on labels alone",
)
