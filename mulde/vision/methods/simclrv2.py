"""SimCLRv2: pre-training without labels, fine-tuning on few, distillation.

    1  two views of every image ─▶ encoder ─▶ head ──NT-Xent
    2  encoder ─▶ first layers of the head ─▶ new classifier ◀──cross entropy── few labels
    3  all images ─▶ the fine-tuned network, frozen ──its probabilities──▶ student

    L_3 = -(1 - α) Σ_labelled log P_S(y | x) - α Σ_all Σ_y P_T(y | x; τ) log P_S(y | x; τ)

Source: Chen, Kornblith, Swersky, Norouzi, Hinton, "Big Self-Supervised Models are Strong Semi-Supervised
Learners", NeurIPS 2020, arXiv 2006.10029, and the authors' code, whose distillation is a notebook that also
multiplies by τ² (`squared`) and which has no memory of negatives. As there, LARS does not adapt its steps to the length
of the new classifier of stage 2, which begins at zero. Stages 2 and 3 crop and mirror only; the code's
parts of an image have at least 0.08 of its area, ours 0.05. The big network is first distilled into another of its
kind, without the head, and that one into the student; both have new initial weights, which is our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, NonNegative, Positive, Range, Size, Whole
from mulde.engine import Clock, Method, average_of, frozen, is_frozen, update_average
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.contrastive import nt_xent
from mulde.losses.soft_labels import soft_cross_entropy
from mulde.vision.ablation.study import Study
from mulde.vision.data.augmentation import Views, views_of
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.data.splitting import few_labelled
from mulde.vision.models import StagedNetwork, seeded
from mulde.vision.models.heads import projection_head
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.models.projected import Projected
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.feeds import ImageBatch, ImageFeed
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


def _lars(batch_size: int, rate: float, weight_decay: float, warmup_epochs: float = 0.0) -> OptimizerSteps:
    """LARS with the learning rate of the paper, `rate` times the root of the batch size."""
    rate *= batch_size**0.5
    return OptimizerSteps("lars", rate, weight_decay, momentum=0.9, schedule="cosine", warmup_epochs=warmup_epochs)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for 1 % of ImageNet's labels; without its selective kernels.

    All images are held in memory: at 224 pixels ImageNet takes 400 GB, at size=64 it takes 33.
    """

    student: str = "imagenet-resnet50"
    """The student; in the paper also one as big as its teacher."""
    teacher: str = "imagenet-resnet152x3"
    """The teacher, which is pre-trained; three times as wide as a ResNet-152."""
    channels: Size = 16
    """Channels of the first stage of a residual network for small images, in both."""
    shots: Count = 13
    """Labelled images per class."""
    layers: Size = 3
    """Linear layers of the projection head."""
    kept: Whole = 1
    """Linear layers of the head that stay in the fine-tuned network; 0 for none."""
    dimension: Size = 128
    """Dimension of the projections; the other layers of the head are as wide as the encoder."""
    contrast_temperature: Positive = 0.1
    """τ of NT-Xent; 0.5 for small images in the authors' instructions."""
    memory: Whole = 0
    """Earlier projections that are further negatives; up to 65536 in the paper, none in its code."""
    memory_momentum: Annotated[float, Range(0, 1)] = 0.999
    """Momentum of the moving average that fills the memory."""
    views: Views = "strong"
    """Augmentation in pre-training: SimCLR's by kornia, or a lighter one for images of 8 to 32 pixels."""
    mirror: bool = True
    """Whether the lighter augmentation mirrors images."""
    alpha: NonNegative = 1.0
    """α, weight of the teacher's probabilities; 1 - α is the weight of the labels."""
    self_distillation: bool = True
    """Whether the big network is first distilled into another of its kind; not for a given teacher."""
    self_temperature: Positive = 0.1
    """τ of self-distillation."""
    temperature: Positive = 1.0
    """τ of the distillation of the student."""
    squared: bool = False
    """Multiply the distillation by τ², as the authors' notebook does."""
    shuffled: bool = False
    """Control: the teacher's probabilities belong to other images of the batch."""
    training: Training = field(default_factory=lambda: Training(400, 1024, "crop-flip", _lars(1024, 0.1, 1e-4)))
    """Stage 3; batches and learning rate are ours, the paper does not give them."""
    pretraining: Training = field(
        default_factory=lambda: Training(800, 4096, "none", _lars(4096, 0.1, 1e-4, warmup_epochs=40))
    )
    """Stage 1; `views` sets the augmentation, and 0 epochs leave it out."""
    finetuning: Training = field(default_factory=lambda: Training(60, 1024, "crop-flip", _lars(1024, 0.002, 0.0)))
    """Stage 2; learning rate 0.002 times the root of the batch size for large teachers, 0.005 for small ones."""

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= self.layers:
            raise UsageError(
                f"the head has {self.layers} layers, of which 0 to {self.layers} can be kept; got kept={self.kept}"
            )


ADAM = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 1e-6, "warmup_epochs": 0.0}
RECOMMENDED = {
    "student": "resnet20",
    "teacher": "cifar-resnet18",
    "views": "small",
    "contrast_temperature": 0.5,
    "self_distillation": False,
    "epochs": 60,
    "batch_size": 128,
    "augment": "shift-flip",
    **ADAM,
    "pretraining_epochs": 100,
    "pretraining_batch_size": 256,
    "finetuning_epochs": 60,
    "finetuning_batch_size": 64,
    "finetuning_augment": "shift-flip",
    **{f"{stage}_{name}": value for stage in ("pretraining", "finetuning") for name, value in ADAM.items()},
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-supervision"
NEEDS = Needs(
    "images", {"student": Role("logits"), "teacher": Role("logits")}, labels="few", controls=frozenset({"views"})
)


class Pretraining(Method):
    """Stage 1. One learner, `encoder`: network and head; labels are not used."""

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
            raise UsageError(
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
        """Update the moving average, and replace the oldest projections of the memory by the newest."""
        if self._latest is not None:
            update_average(self.average, nn.ModuleList([self.network, self.head]), self.config.memory_momentum)
            self.queue.copy_(torch.cat([self._latest, self.queue])[: len(self.queue)])

    def predict(self, batch: ImageBatch) -> Tensor:
        """Pooled features (b, d)."""
        return self.network(batch.images).pooled


class SimCLRv2(ClassifierMethod):
    """Stage 3. One learner, `student`, and a frozen teacher."""

    def __init__(
        self, student: nn.Module, teacher: nn.Module, config: Config, temperature: float, transfer: ImageSet
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.config, self.temperature = student, frozen(teacher), config, temperature
        self.outputs = config.training.outputs_of(self.teacher, transfer, "logits")

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        config, own, terms = self.config, self.student(batch.images).logits, {}
        if config.alpha:
            target = self.outputs(batch.images, batch.index).logits.roll(int(config.shuffled), 0)
            soft = soft_cross_entropy(target, own, self.temperature, config.squared)
            terms["student/soft"] = config.alpha * soft
        if config.alpha < 1:
            total = functional.cross_entropy(own, batch.labels, ignore_index=-1, reduction="sum")
            terms["student/hard"] = (1 - config.alpha) * total / (batch.labels >= 0).sum().clamp_min(1)
        return terms


def transfer_set(images: ImageSet, config: Config) -> ImageSet:
    """Images of stage 3: all of them, with the few labels where α < 1; at α = 0 the labelled images only.

    At α = 0 they are repeated up to the number of all images, so that every α has the same number of updates.
    """
    if config.alpha == 1:
        return images.unlabelled()
    labelled = few_labelled(images, config.shots)
    if config.alpha == 0:
        return images[labelled[torch.arange(len(images)) % len(labelled)]]
    labels = torch.full_like(images.labels, -1)
    labels[labelled] = images.labels[labelled]
    return replace(images, labels=labels)


def with_classifier(net: StagedNetwork, head: nn.Sequential, kept: int, classes: int) -> Projected:
    """The network of stage 2: the first `kept` layers of the head, shared with it, and a new classifier at zero."""
    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    layers = head[: 3 * kept]  # linear, normalisation, ReLU
    width = int(linear[kept].in_features if kept < len(linear) else linear[-1].out_features)
    classifier = nn.Linear(width, classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    return Projected(net, layers, classifier)


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student, a teacher that consists of the encoder and a part of its head, and the head.

    A given teacher is trained already; then there is no head.
    """
    found = by_role(given, {"student": lambda: classifier("student", config.student, data, config.channels)})
    if "teacher" in given:
        return found | by_role({"teacher": given["teacher"]}, {"teacher": nn.Identity}, teachers=("teacher",))
    encoder = classifier("teacher", config.teacher, data, config.channels)
    with seeded(data.seed, "head"):
        head = projection_head([*[encoder.widths[-1]] * config.layers, config.dimension], last_norm=True)
        return {**found, "teacher": with_classifier(encoder, head, config.kept, data.classes), "head": head}


def pretraining(config: Config, data: Split, encoder: StagedNetwork, head: nn.Sequential) -> Setup:
    """Stage 1: an encoder with its head, and pairs of views without labels."""
    feed = ImageFeed(
        data.train.unlabelled(),
        min(config.pretraining.batch_size, len(data.train)),
        seed=data.seed,
        augment=views_of(data, config.views, config.mirror),
        views=2,
        drop_last=True,
    )
    with seeded(data.seed, "memory"):
        return Setup(Pretraining(encoder, head, config), feed)


def distillation(config: Config, data: Split, student: nn.Module, teacher: nn.Module, temperature: float) -> Setup:
    """Stage 3: a student, its teacher, and batches without labels where α is 1."""
    transfer = transfer_set(data.train, config)
    method = SimCLRv2(student, teacher, config, temperature, transfer)
    counted = 0 < config.alpha < 1  # the labelled images of a batch
    return Setup(method, config.training.feed(transfer, data.seed, whole=counted))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """Distillation of the teacher into the student."""
    return distillation(config, data, networks["student"], networks["teacher"], config.temperature)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Pre-training and fine-tuning of the teacher, where it is not given, self-distillation, distillation."""
    student, teacher = networks["student"], networks["teacher"]
    teachers: dict[str, nn.Module] = {}
    if config.alpha and not is_frozen(teacher):
        if config.pretraining.epochs:
            setup = pretraining(config, data, teacher.network, networks["head"])
            session.shared().fit(setup, config.pretraining, name="pretraining", fraction=0.4)
        labelled = data.train[few_labelled(data.train, config.shots)]
        train_on_labels(teacher, labelled, config.finetuning, session, data.seed, "finetuning", fraction=0.2)
        teachers["finetuned"] = teacher
        if config.self_distillation:
            own_kind = classifier("own_kind", config.teacher, data, config.channels)
            setup = distillation(config, data, own_kind, teacher, config.self_temperature)
            session.fit(setup, config, name="self_distillation", fraction=0.5)
            teachers["self_distilled"] = teacher = own_kind
    record = session.fit(distillation(config, data, student, teacher, config.temperature), config)
    return Trained(student, "classify", teachers, record)


STUDY = Study(
    config=Config(
        student="cnn-8-16-32",
        teacher="cnn-16-32-64",
        shots=2,
        dimension=32,
        contrast_temperature=0.5,
        views="small",
        mirror=False,
        self_distillation=False,
        pretraining=Training(240, 256, "none", OptimizerSteps("adam", 2e-3, 1e-6)),
        finetuning=Training(150, 50, "shift", OptimizerSteps("adam", 2e-3, 1e-6)),
        training=Training(30, 128, "shift", OptimizerSteps("adam", 1e-3, 1e-6)),
    ),
    variants={
        "baseline": {"alpha": 0.0},
        "method": {},
        "weight 0": {"pretraining": Training(0, 256)},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    paper_data="folder:PATH,size=224",
    notes="the digits of scikit-learn, 2 labelled images per class; pre-trained for 240 epochs, distilled for 30, no "
    "self-distillation",
    meaning="baseline: the student on the labelled images alone, with as many updates; weight 0: a teacher without "
    "pre-training",
)
