"""SimCLRv2: a big network learns from images, then from few labels, then teaches a small one on all images.

    1  two views of every image ─▶ encoder ─▶ head ──NT-Xent
    2  encoder ─▶ first layers of the head ─▶ new classifier ◀──cross entropy── few labels
    3  all images ─▶ the result of 2, frozen ──its probabilities──▶ student

    L_3 = -(1 - α) Σ_labelled log P_S(y | x) - α Σ_all Σ_y P_T(y | x; τ) log P_S(y | x; τ)

Source: Chen, Kornblith, Swersky, Norouzi, Hinton, "Big Self-Supervised Models are Strong Semi-Supervised
Learners", NeurIPS 2020, arXiv 2006.10029, and the authors' code, whose distillation is a notebook that also
multiplies by τ² (`squared`) and which has no memory of negatives. Stages 2 and 3 crop and mirror only; the code's
parts of an image begin at 0.08 of its area, ours at 0.05. The big network first teaches another of its kind,
without the head, then that one the student; both begin anew, which is our reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.engine import Clock, Method, average_of, frozen, update_average
from mulde.losses.contrastive import nt_xent
from mulde.losses.soft_labels import soft_cross_entropy
from mulde.vision.ablation.study import Verification
from mulde.vision.data.augmentation import Views, views_of
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models import StagedNetwork, seeded
from mulde.vision.models.attached import projection_head
from mulde.vision.models.initial import classifier
from mulde.vision.models.projected import Projected
from mulde.vision.training.evaluation import network_accuracy
from mulde.vision.training.feeds import ImageBatch, ImageFeed
from mulde.vision.training.session import OptimizerSteps, Session, Training, train_on_labels


def _lars(batch_size: int, rate: float, weight_decay: float, warmup_epochs: float = 0.0) -> OptimizerSteps:
    """LARS with the learning rate of the paper, `rate` times the root of the batch size."""
    rate *= batch_size**0.5
    return OptimizerSteps("lars", rate, weight_decay, momentum=0.9, schedule="cosine", warmup_epochs=warmup_epochs)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for 1 % of ImageNet's labels; its selective kernels are not here.

    All images are held in memory: at 224 pixels ImageNet takes 400 GB, at size=64 it takes 33.
    """

    network: str = "imagenet-resnet50"
    """The student; in the paper also as big as its teacher."""
    teacher: str = "imagenet-resnet152x3"
    """The network that is pre-trained, three times as wide as a ResNet-152."""
    channels: int = 16
    """Channels of the first stage of a residual network for small images, in both."""
    shots: int = 13
    """Labelled images per class."""
    layers: int = 3
    """Linear layers of the projection head."""
    kept: int = 1
    """How many of them stay in the fine-tuned network; 0 for none."""
    dimension: int = 128
    """Dimension of the projections; the layers before are as wide as the encoder."""
    contrast_temperature: float = 0.1
    """τ of NT-Xent; 0.5 for small images in the authors' instructions."""
    memory: int = 0
    """Earlier projections that serve as further negatives; the paper tries 65536, its code none."""
    momentum: float = 0.999
    """Of the moving average that fills the memory."""
    views: Views = "strong"
    """SimCLR's augmentation by kornia, or a lighter one for images of 8 to 32 pixels; in pre-training."""
    mirror: bool = True
    """Whether the lighter augmentation mirrors images."""
    alpha: float = 1.0
    """α, the weight of the teacher's probabilities in distillation against the labels; 0 trains on labels alone."""
    self_distillation: bool = True
    """Let the big network teach another of its kind before the student."""
    self_temperature: float = 0.1
    """τ of self-distillation."""
    temperature: float = 1.0
    """τ of the distillation of the student."""
    squared: bool = False
    """Multiply the distillation by τ², as the authors' notebook does."""
    shuffled: bool = False
    """Sabotage: the teacher's probabilities belong to other images of the batch."""
    pretraining: Training = field(
        default_factory=lambda: Training(800, 4096, "none", _lars(4096, 0.1, 1e-4, warmup_epochs=40))
    )
    """Stage 1; `views` augments, and 0 epochs leave it out."""
    finetuning: Training = field(default_factory=lambda: Training(60, 1024, "crop-flip", _lars(1024, 0.002, 0.0)))
    """Stage 2; a rate of 0.002 times the root of the batch size is for large teachers, small ones have 0.005."""
    training: Training = field(default_factory=lambda: Training(400, 1024, "crop-flip", _lars(1024, 0.1, 1e-4)))
    """Stage 3; batches and learning rate are ours, the paper's are not known to us."""

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.layers:
            raise ValueError(
                f"the head has {self.layers} layers, of which 0 to {self.layers} can be kept; got kept={self.kept}"
            )


class Pretraining(Method):
    """Stage 1. One learner, `encoder`: network and head; no label is read."""

    queue: Tensor
    """(memory, dimension) earlier projections of the average, newest first."""

    def __init__(self, net: StagedNetwork, head: nn.Sequential, config: Config) -> None:
        super().__init__()
        net.classifier = nn.Identity()
        self.network, self.head, self.config = net, head, config
        self.average = average_of(nn.ModuleList([net, head])) if config.memory else nn.ModuleList()
        queue = functional.normalize(torch.randn(config.memory, config.dimension), dim=1)
        self.register_buffer("queue", queue)
        self._latest: Tensor | None = None

    def learners(self) -> dict[str, Any]:
        return {"encoder": [*self.network.parameters(), *self.head.parameters()]}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        if batch.views is None or len(batch.views) < 2:
            raise ValueError(
                "SimCLRv2 compares two views per image; the feed delivered "
                f"{0 if batch.views is None else len(batch.views)}; make it with ImageFeed(..., views=2)"
            )
        first, second = (self.head(self.network(view).pooled) for view in batch.views[:2])
        memory = self.queue if self.config.memory else None
        if memory is not None:
            net, head = self.average
            with torch.no_grad():
                self._latest = head(net(batch.views[1]).pooled)
        return {"encoder/contrast": nt_xent(first, second, self.config.contrast_temperature, memory)}

    def after_update(self, clock: Clock) -> None:
        """The average follows; its newest projections take the place of the oldest."""
        if self._latest is not None:
            update_average(self.average, nn.ModuleList([self.network, self.head]), self.config.momentum)
            self.queue.copy_(torch.cat([self._latest, self.queue])[: len(self.queue)])

    def predict(self, batch: ImageBatch) -> Tensor:
        """Pooled features (b, d)."""
        return self.network(batch.images).pooled


class SimCLRv2(Method):
    """Stage 3. One learner, `student`, and a frozen teacher."""

    def __init__(self, student: nn.Module, teacher: nn.Module, config: Config, temperature: float) -> None:
        super().__init__()
        self.student, self.teacher, self.config, self.temperature = student, frozen(teacher), config, temperature

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own, terms = self.config, self.student(batch.images).logits, {}
        if config.alpha:
            with torch.no_grad():
                target = self.teacher(batch.images).logits.roll(int(config.shuffled), 0)
            soft = soft_cross_entropy(target, own, self.temperature, config.squared)
            terms["student/soft"] = config.alpha * soft
        if config.alpha < 1:
            total = functional.cross_entropy(own, batch.labels, ignore_index=-1, reduction="sum")
            terms["student/hard"] = (1 - config.alpha) * total / (batch.labels >= 0).sum().clamp_min(1)
        return terms

    def predict(self, batch: ImageBatch) -> Tensor:
        """The student's logits (b, k)."""
        return self.student(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The student."""
        return {"student": self.student}


def few_labelled(images: ImageSet, shots: int) -> Tensor:
    """Rows of the first `shots` images of each class."""
    rows = torch.arange(len(images))
    known = images.labels[images.labels >= 0].unique()
    return torch.cat([rows[images.labels == label][:shots] for label in known])


def transfer_set(images: ImageSet, config: Config) -> ImageSet:
    """What stage 3 sees: all images, the few labels only where α < 1; at α = 0 the labelled images alone.

    These are repeated as often as there are images, so that every α makes as many updates.
    """
    if config.alpha == 1:
        return images.unlabelled()
    labelled = few_labelled(images, config.shots)
    if config.alpha == 0:
        return images[labelled[torch.arange(len(images)) % len(labelled)]]
    labels = torch.full_like(images.labels, -1)
    labels[labelled] = images.labels[labelled]
    return replace(images, labels=labels)


def pretrained(config: Config, split: Split, session: Session) -> tuple[StagedNetwork, nn.Sequential]:
    """Stage 1: the encoder and its head."""
    method, feed = build_pretraining(config, split)
    if config.pretraining.epochs:
        session.fit(method, feed, config.pretraining, name="pretraining")
    return method.network, method.head


def build_pretraining(config: Config, split: Split) -> tuple[Pretraining, ImageFeed]:
    """A fresh big network with its head, and pairs of views; labels are replaced by -1."""
    net = _fresh("teacher", config.teacher, config, split)
    with seeded(split.seed, "head"):
        width = net.widths[-1]
        head = projection_head([*[width] * config.layers, config.dimension], last_norm=True)
        method = Pretraining(net, head, config)
    feed = ImageFeed(
        split.train.unlabelled(),
        min(config.pretraining.batch_size, len(split.train)),
        seed=split.seed,
        augment=views_of(split, config.views, config.mirror),
        views=2,
        drop_last=True,
    )
    return method, feed


def with_classifier(net: StagedNetwork, head: nn.Sequential, kept: int, classes: int) -> Projected:
    """The network of stage 2: the first `kept` layers of the head, then a new classifier that begins at zero."""
    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    layers = head[: 3 * kept]  # linear, normalisation, ReLU
    width = int(linear[kept].in_features if kept < len(linear) else linear[-1].out_features)
    classifier = nn.Linear(width, classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    return Projected(net, layers, classifier)


def finetuned(config: Config, split: Split, session: Session) -> Projected:
    """Stages 1 and 2: the teacher."""
    teacher = with_classifier(*pretrained(config, split, session), config.kept, split.classes)
    labelled = split.train[few_labelled(split.train, config.shots)]
    train_on_labels(teacher, labelled, config.finetuning, session, split.seed, "finetuning")
    return teacher


def build(
    config: Config, split: Split, teacher: nn.Module | None = None, own_kind: bool = False
) -> tuple[SimCLRv2, ImageFeed]:
    """Stage 3: a fresh student, its teacher (untrained unless given), and batches without labels where α is 1.

    own_kind: the student is of the teacher's kind (self-distillation).
    """
    name = config.teacher if own_kind else config.network
    student = _fresh("own_kind" if own_kind else "student", name, config, split)
    if teacher is None:
        untrained, _ = build_pretraining(config, split)
        teacher = with_classifier(untrained.network, untrained.head, config.kept, split.classes)
    temperature = config.self_temperature if own_kind else config.temperature
    method = SimCLRv2(student, teacher, config, temperature)
    counts = 0 < config.alpha < 1  # the labelled images of a batch
    return method, config.training.feed(transfer_set(split.train, config), split.seed, whole=counts)


def run(config: Config, split: Split, session: Session) -> dict[str, float]:
    """All stages; test accuracy of the student and of those that taught it."""
    found: dict[str, float] = {}
    teacher: nn.Module | None = None
    if config.alpha:
        teacher = finetuned(config, split, session)
        found["finetuned"] = network_accuracy(teacher, split.test)
        if config.self_distillation:
            method, feed = build(config, split, teacher, own_kind=True)
            session.fit(method, feed, config, name="self_distillation")
            teacher = method.student
            found["self_distilled"] = network_accuracy(teacher, split.test)
    method, feed = build(config, split, teacher)
    session.fit(method, feed, config)
    return {"accuracy": network_accuracy(method.student, split.test), **found}


def _fresh(role: str, name: str, config: Config, split: Split) -> StagedNetwork:
    return classifier(role, name, split, config.channels)


VERIFICATION = Verification(
    config=Config(
        network="cnn-8-16-32",
        teacher="cnn-16-32-64",
        shots=5,
        dimension=32,
        contrast_temperature=0.5,
        views="small",
        mirror=False,
        self_distillation=False,
        pretraining=Training(30, 256, "none", OptimizerSteps("adam", 2e-3, 1e-6)),
        finetuning=Training(150, 50, "shift", OptimizerSteps("adam", 2e-3, 1e-6)),
        training=Training(30, 128, "shift", OptimizerSteps("adam", 2e-3, 1e-6)),
    ),
    arms={
        "baseline": {"alpha": 0.0},
        "method": {},
        "term at zero": {"pretraining": Training(0, 256)},
        "sabotage": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    paper_data="folder:PATH,size=224",
    notes="the digits of scikit-learn, 5 labelled images per class; baseline: the student on these alone, as many "
    "updates; term at zero: a teacher without pre-training; pre-trained for 30 epochs, distilled for 30, no "
    "self-distillation",
)
