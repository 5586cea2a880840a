"""TinyMIM: a small vision transformer learns the relations of tokens inside a masked-image teacher, then is fine-tuned.

    image ──▶ teacher (frozen) ──Q, K, V of a block──▶ relations ──▶ Q, K, V of the last block ◀── student ◀── image

    L = KL(R_t^QK ‖ R_s^QK) + KL(R_t^VV ‖ R_s^VV),   R^AB = softmax(A Bᵀ / √d) of each head

Source: Ren, Wei, Zhang, Hu, "TinyMIM: An Empirical Study of Distilling MIM Pre-trained Models", CVPR 2023, arXiv
2301.01296, and the authors' code. The divergences are summed over the last axis and averaged over heads, rows and
images. Both networks see the same whole image; no label is used before fine-tuning. Widths may differ, numbers of heads
may not. Ours: a teacher that is not given is pre-trained by filling in masked patches, which are zeros in its input;
fine-tuning has one learning rate for all layers, the paper's falls by 0.65 from layer to layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, Range
from mulde.engine import Clock, Method, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.errors import UsageError
from mulde.losses.relations import relation, relation_kl
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import Split
from mulde.vision.data.splitting import few_labelled
from mulde.vision.models import StagedNetwork, seeded
from mulde.vision.models.attention_taps import Tap, tapped, taps
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels


def _adamw(lr: float, warmup: float) -> OptimizerSteps:
    return OptimizerSteps("adamw", lr, 0.05, schedule="cosine", warmup_epochs=warmup)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's schedule for ViT-Tiny from ViT-Base; learning rates are for its batches."""

    student: str = "vit-192-12-12-patch16"
    """The student, a vision transformer with as many heads as the teacher: vit-WIDTH-DEPTH-HEADS-patchSIZE."""
    teacher: str = "vit-base-patch16"
    """The teacher, a vision transformer; it is pre-trained on masked images unless it is given."""
    teacher_block: Count | None = None
    """Block of the teacher, counted from 1; none: the last for equal depths, else three quarters of the depth."""
    mask: Annotated[float, Range(0, 1)] = 0.6
    """Fraction of the patches that are masked in the pre-training of the teacher."""
    shots: Count | None = None
    """Labelled images per class for fine-tuning; none: all."""
    distilled: bool = True
    """False: the baseline, fine-tuning alone."""
    shuffled: bool = False
    """Control: the rows of the teacher's relations are in random order."""
    training: Training = field(default_factory=lambda: Training(300, 4096, "crop-flip", _adamw(2.4e-3, 15)))
    """Distillation of the relations."""
    pretraining: Training = field(default_factory=lambda: Training(1600, 4096, "crop-flip", _adamw(2.4e-3, 40)))
    """Pre-training of a teacher that is not given; 0 epochs leave it out."""
    finetuning: Training = field(default_factory=lambda: Training(100, 1024, "crop-flip", _adamw(1e-3, 5)))
    """Fine-tuning of the student on the labels."""


_SMALL = {"batch_size": 128, "augment": "shift-flip", "optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05}
RECOMMENDED = {
    "student": "vit-64-4-4-patch4",
    "teacher": "vit-192-6-4-patch4",
    "epochs": 60,
    **_SMALL,
    "pretraining_epochs": 100,
    "finetuning_epochs": 60,
    **{f"{stage}_{name}": value for stage in ("pretraining", "finetuning") for name, value in _SMALL.items()},
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-supervision"
NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("pooled")}, labels="few")


class TinyMIM(Method):
    """One learner, `student`, and a frozen teacher; labels are not used."""

    def __init__(self, student: nn.Module, teacher: nn.Module, config: Config) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        self.own, self.theirs = paired(student, teacher, config.teacher_block)

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        with torch.no_grad(), tapped(self.theirs) as targets:
            self.teacher(batch.images)
        with tapped(self.own) as owns:
            self.student(batch.images)
        target, own = targets[0], owns[0]
        if target.query.shape[2] != own.query.shape[2]:
            raise UsageError(
                f"the student has {own.query.shape[2]} tokens and the teacher {target.query.shape[2]}, and their "
                "relations are compared token by token; choose a student with the teacher's patches and image size"
            )
        return {
            "student/query_key": self._distance(relation(*target[:2]), relation(*own[:2])),
            "student/values": self._distance(relation(target.value, target.value), relation(own.value, own.value)),
        }

    def _distance(self, target: Tensor, own: Tensor) -> Tensor:
        if self.config.shuffled:
            target = target[:, :, torch.randperm(target.shape[2])]
        return relation_kl(target, own)

    def predict(self, batch: ImageBatch) -> Tensor:
        """The student's features (b, d)."""
        pooled: Tensor = self.student(batch.images).pooled
        return pooled


class MaskedImages(Method):
    """Pre-training of the teacher. One learner, `network` with a linear decoder; labels are not used."""

    def __init__(self, network: StagedNetwork, channels: int, mask: float) -> None:
        super().__init__()
        self.network, self.mask, self.patch = network, mask, int(network.stem.kernel_size[0])  # type: ignore[index]
        self.decoder = nn.Conv2d(network.widths[-1], channels * self.patch**2, 1)

    def learners(self) -> dict[str, Any]:
        return {"network": [*self.network.parameters(), *self.decoder.parameters()]}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        """Mean squared error of the pixels of the masked patches."""
        b, _, height, width = batch.images.shape
        patches = height // self.patch * (width // self.patch)
        count = min(max(1, round(self.mask * patches)), patches)
        hidden = torch.rand(b, patches).argsort(1).to(batch.images.device) < count
        shaped = hidden.view(b, 1, height // self.patch, width // self.patch)
        pixels = shaped.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        features = self.network(batch.images.masked_fill(pixels, 0.0)).stages[-1]
        filled = functional.pixel_shuffle(self.decoder(features), self.patch)
        errors = (filled - batch.images).square().mean(1, keepdim=True)
        return {"network/pixels": (errors * pixels).sum() / pixels.sum()}

    def predict(self, batch: ImageBatch) -> Tensor:
        """Features (b, d)."""
        pooled: Tensor = self.network(batch.images).pooled
        return pooled


def paired(student: nn.Module, teacher: nn.Module, block: int | None = None) -> tuple[Tap, Tap]:
    """The student's last attention, and the teacher's that it learns from.

    Raises
    ------
    UsageError
        If a network is no transformer, the teacher has no such block, or the numbers of heads differ.
    """
    own, theirs = taps(student), taps(teacher)
    if block is None:
        block = len(theirs) if len(theirs) == len(own) else max(1, round(0.75 * len(theirs)))
    if not 1 <= block <= len(theirs):
        raise UsageError(f"--teacher-block: the teacher has {len(theirs)} blocks, counted from 1; got {block}")
    last, target = own[-1], theirs[block - 1]
    if last.heads != target.heads:
        raise UsageError(
            f"the student has {last.heads} heads and the teacher {target.heads}, and their relations are compared head "
            f"by head; choose a student with {target.heads} heads, as vit-WIDTH-DEPTH-{target.heads}-patchSIZE"
        )
    return last, target


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """A student and a teacher; a given teacher is trained already."""
    new = {
        "student": lambda: classifier("student", config.student, data, channels=16),  # only residual networks read it
        "teacher": lambda: classifier("teacher", config.teacher, data, channels=16),
    }
    return by_role(given, new, teachers=("teacher",))


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """Distillation of the relations, on images without labels."""
    method = TinyMIM(networks["student"], networks["teacher"], config)
    return Setup(method, config.training.feed(data.train.unlabelled(), data.seed))


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Pre-train the teacher, where it is not given; distil its relations; fine-tune the student on the labels."""
    student, teacher = networks["student"], networks["teacher"]
    if config.distilled:
        if config.pretraining.epochs and not is_frozen(teacher):
            training = config.pretraining
            with seeded(data.seed, "decoder"):
                method = MaskedImages(teacher, data.train.channels, config.mask)
            setup = Setup(method, training.feed(data.train.unlabelled(), data.seed))
            session.shared().fit(setup, training, name="pretraining", fraction=0.4)
        session.fit(build(config, data, networks), config, name="relations", fraction=0.5)
    labelled = data.train[few_labelled(data.train, config.shots)]
    record = train_on_labels(student, labelled, config.finetuning, session, data.seed, "fit")
    return Trained(student, "classify", {}, record)


STUDY = Study(
    config=Config(
        student="vit-32-3-4-patch2",
        teacher="vit-64-4-4-patch2",
        shots=10,
        training=Training(30, 64, "none", OptimizerSteps("adam", 2e-3, schedule="cosine")),
        pretraining=Training(40, 64, "none", OptimizerSteps("adam", 2e-3, schedule="cosine")),
        finetuning=Training(60, 50, "none", OptimizerSteps("adam", 1e-3, schedule="cosine")),
    ),
    variants={
        "baseline": {"distilled": False},
        "method": {},
        "weight 0": {"pretraining": Training(0, 64, "none")},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="digits",
    paper_data="folder:PATH,size=224",
    notes="teacher and relations are trained on all digits without labels, then 10 labelled digits per class",
    meaning="baseline: fine-tuning alone; weight 0: a teacher without pre-training; control: the rows of the teacher's "
    "relations in random order",
)
