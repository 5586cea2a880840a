"""FSBAN: born-again networks in episodes, for few-shot tasks of new domains.

    teacher of the episode's domain ◀──mutual loss at T──▶ student ◀── labels of the queries
    teacher of another domain ─────mismatched loss─────────▶ student
    temperature T ◀── labels of an episode of the other domain, after a trial step of the student at T

    J_T(z, z') = T²/2 (KL(p_T ‖ p'_T) + KL(p'_T ‖ p_T)),   T = softplus t
    L = CE(z, y) + w_m J_T(z_matched, z) + w_o J_4(z_other, z)
    L_T = CE at θ - η ∂L/∂θ, of an episode of the other domain; it trains t alone

Source: Zhao, Cheung, "FS-BAN: Born-Again Networks for Domain Generalization Few-Shot Classification", IEEE TIP 2023,
arXiv 2208.10930, and the released code, whose weights these are. In that code the trial step is not differentiable, so
that T receives no gradient; here it is. Ours are prototypes in place of matching networks, the size η of the trial
step, that all teachers are trained by the student's optimiser, and the student's classifier, the means of its classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from mulde.config import Count, NonNegative, Positive, Size, Whole
from mulde.engine import Clock, EpochEnd
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.losses.soft_labels import symmetric_kl
from mulde.vision.ablation.study import Study
from mulde.vision.data.episodes import EpisodeShape, episodes
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.loading import load
from mulde.vision.models.classifiers import classifier_of
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.episodic import EpisodePairs, each_domain
from mulde.vision.training.evaluation import pooled_features
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.few_shot import HEADS, episode_accuracies, means_classifier, prototype, set_class_means
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session


@dataclass(frozen=True, kw_only=True)
class Config:
    """The values of the released code."""

    student: str = "cnn-64-64-64-64"
    """The student."""
    teacher: str = "cifar-resnet18"
    """The network of the teachers, one for each domain."""
    channels: Size = 16
    """Channels of the first stage of a residual network of three stages."""
    ways: Count = 5
    """Classes of an episode."""
    shots: Count = 5
    """Labelled images of each class in an episode."""
    queries: Count = 15
    """Images of each class that are classified in an episode."""
    episodes: Count = 100
    """Updates of an epoch; each has two episodes, which take the place of a batch."""
    mutual_weight: NonNegative = 0.8
    """w_m, weight of the loss between the student and the teacher of the domain, which trains both."""
    mismatched_weight: NonNegative = 0.5
    """w_o, weight of the loss of the teacher of the other domain."""
    mismatched_temperature: Positive = 4.0
    """Temperature of that loss."""
    first_temperature: Positive = 4.0
    """t at the beginning; T is softplus t."""
    learn_temperature: bool = True
    """Learn T."""
    trial_lr: Positive = 0.01
    """η, size of the trial step."""
    same_epochs: Whole = 10
    """First epochs, in which the other domain is the same."""
    shuffled: bool = False
    """Control: the teachers' outputs are those for queries of other classes."""
    training: Training = field(default_factory=lambda: Training(600, 64, "shift-flip", OptimizerSteps("adam", 1e-3)))
    """Epochs, augmentation and optimiser of the student and of each teacher; the batch size is not used."""

    @property
    def shape(self) -> EpisodeShape:
        """Sizes of the episodes."""
        return EpisodeShape(self.ways, self.shots, self.queries)

    @property
    def uses_teachers(self) -> bool:
        """Whether any term depends on the teachers."""
        return self.mutual_weight > 0 or self.mismatched_weight > 0

    @property
    def without_teachers(self) -> Config:
        """Training on episodes alone: that of the teachers."""
        return replace(self, mutual_weight=0.0, mismatched_weight=0.0, learn_temperature=True, shuffled=False)


RECOMMENDED = {"teacher": "resnet20", "epochs": 30, "same_epochs": 3}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "few shots"
NEEDS = Needs("images", {"student": Role("pooled")}, controls=frozenset({"order"}), domains=True)

Network = Callable[[Tensor], Any]


class FSBAN(ClassifierMethod):
    """Learners `student`, `teachers` and `temperature`; without teachers, training on episodes alone."""

    isolated = True  # the loss of the temperature is a function of the student's weights

    def __init__(self, student: nn.Module, teachers: Mapping[int, nn.Module], config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.config, self.images = student, config, images
        self.teachers = nn.ModuleDict({str(domain): teacher for domain, teacher in teachers.items()})
        for network in (student, *teachers.values()):
            classifier_of(network).requires_grad_(False)
        mutual = len(teachers) > 0 and config.mutual_weight > 0
        if mutual:
            self.cross_terms = frozenset({("teachers/mutual", "student")})
        else:
            self.teachers.requires_grad_(False)
        first = torch.tensor(config.first_temperature)
        self.t = nn.Parameter(first, requires_grad=mutual and config.learn_temperature)

    def learners(self) -> dict[str, Any]:
        found = {
            "student": list(_learnt(self.student).values()),
            "teachers": list(_learnt(self.teachers).values()),
            "temperature": [self.t] if self.t.requires_grad else [],
        }
        return {name: parameters for name, parameters in found.items() if parameters}

    @property
    def temperature(self) -> Tensor:
        """T."""
        return functional.softplus(self.t)

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, images = self.config, batch.images
        seen, unseen = images.chunk(2)
        own = self._logits(self.student, seen)
        labels = torch.arange(config.ways, device=own.device).repeat_interleave(config.queries)
        terms = {"student/hard": functional.cross_entropy(own, labels)}
        if not self.teachers:
            return terms
        here, there = (str(int(half[0])) for half in batch.domains.chunk(2))  # type: ignore[union-attr]
        turn = config.queries if config.shuffled else 0
        if config.mutual_weight:
            matched = self._logits(self.teachers[here], seen).roll(turn, 0)
            terms["teachers/mutual"] = config.mutual_weight * symmetric_kl(matched, own, self.temperature)
        if config.mismatched_weight:
            with torch.no_grad():
                other = self._logits(_with(self.teachers[there], {}), seen).roll(turn, 0)
            loss = symmetric_kl(other, own, config.mismatched_temperature)
            terms["student/mismatched"] = config.mismatched_weight * loss
        if self.t.requires_grad:
            after = self._after_a_trial_step(torch.stack(list(terms.values())).sum())
            terms["temperature/trial"] = functional.cross_entropy(self._logits(after, unseen), labels)
        return terms

    def _logits(self, network: Network, images: Tensor) -> Tensor:
        """Logits (ways · queries, ways) of an episode by the distances to prototypes."""
        config = self.config
        features = network(images).pooled
        support, queries = features.split([config.ways * config.shots, config.ways * config.queries])
        labels = torch.arange(config.ways, device=images.device).repeat_interleave(config.shots)
        return prototype(support, labels, queries)

    def _after_a_trial_step(self, loss: Tensor) -> Network:
        """The student after a step of gradient descent on a loss; differentiable with respect to the temperature."""
        weights = _learnt(self.student)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        moved = {
            name: value - self.config.trial_lr * gradient
            for (name, value), gradient in zip(weights.items(), gradients, strict=True)
        }
        return _with(self.student, moved)

    def after_epoch(self, end: EpochEnd) -> None:
        """Set the student's classifier to the means of its classes, so that it predicts the training classes."""
        set_class_means(means_classifier(self.student), pooled_features(self.student, self.images), self.images.labels)

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """The temperature."""
        return {"temperature": self.temperature.item()} if self.t.requires_grad else {}


def _learnt(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def _with(network: nn.Module, weights: Mapping[str, Tensor]) -> Network:
    """A network with other weights, whose batch statistics leave those of the network as they are."""
    values = {name: buffer.clone() for name, buffer in network.named_buffers()} | dict(weights)
    return lambda images: functional_call(network, values, (images,))


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The student, and a teacher for each domain, `teacher-0` and so on.

    Raises
    ------
    UsageError
        If the student's classifier cannot be that of class means.
    """
    teachers = {
        name_of(domain): classifier(name_of(domain), config.teacher, data, config.channels)
        for domain in (each_domain(data.train) if config.uses_teachers else ())
    }
    student = by_role(given, {"student": lambda: classifier("student", config.student, data, config.channels)})
    means_classifier(student["student"])  # refused before the first step
    return {**student, **teachers}


def name_of(domain: int) -> str:
    """Name of the teacher of a domain and of its stage."""
    return f"teacher-{domain}"


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """The student and the teachers on pairs of episodes."""
    domains = each_domain(data.train)
    teachers = {domain: networks[name_of(domain)] for domain in domains} if config.uses_teachers else {}
    return on_episodes(networks["student"], teachers, config, data.train, data.seed)


def on_episodes(
    student: nn.Module, teachers: Mapping[int, nn.Module], config: Config, images: ImageSet, seed: int
) -> Setup:
    """A training on episodes of some images."""
    feed = EpisodePairs(images, config.shape, config.episodes, config.training, seed, config.same_epochs)
    return Setup(FSBAN(student, teachers, config, images), feed)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train a teacher on the episodes of each domain, then the student."""
    domains = each_domain(data.train) if config.uses_teachers else {}
    for number, (domain, images) in enumerate(domains.items()):
        alone, fraction = config.without_teachers, 1 / (len(domains) + 1 - number)
        setup = on_episodes(networks[name_of(domain)], {}, alone, images, data.seed)
        session.shared().fit(setup, alone, name=name_of(domain), fraction=fraction)
    record = session.fit(build(config, data, networks), config)
    return Trained(networks["student"], "classify", {}, record)


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Mean accuracy of prototypes over 200 fixed episodes of the test part."""
    views = pooled_features(trained.student, data.test).unsqueeze(0)
    tasks = episodes(data.test.labels, replace(config.shape, queries=8), 200)
    return {"episode_accuracy": float(episode_accuracies(HEADS["prototype"], views, tasks, normalise=False).mean())}


def new_classes(spec: str) -> ImageSet:
    """Images of the first half of the classes, and as the test part those of the other classes in the test domain."""
    images = load(spec)
    new, test = images.labels >= len(images.classes) // 2, torch.tensor([part == "test" for part in images.parts])
    return images[new == test]


STUDY = Study(
    config=Config(
        student="cnn-8-16",
        teacher="cnn-8-16",
        queries=5,
        episodes=20,
        same_epochs=1,
        training=Training(8, 64, "none", OptimizerSteps("adam", 5e-3)),
    ),
    variants={
        "baseline": {"mutual_weight": 0.0, "mismatched_weight": 0.0},
        "method": {},
        "weight 0": {"mismatched_weight": 0.0, "learn_temperature": False},
        "control": {"shuffled": True},
    },
    metric="episode_accuracy",
    evaluate=metrics,
    data="rotations,test-domain=60",
    valid=False,
    read=new_classes,
    notes="200 episodes of five other digits, turned by 60 degrees as in no training image",
    meaning="baseline: training on episodes without teachers; weight 0: the teacher of the domain alone, at a fixed "
    "temperature",
)
