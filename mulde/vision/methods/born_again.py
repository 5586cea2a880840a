"""BornAgain: self-distillation in generations; each network is trained by the one before it.

    generation 0 ◀── labels;   labels ──▶ generation g ◀──soft loss── generation g - 1 (frozen),  g = 1 ... G

    L_g = (1 - α) CE(z_g, y) + α L_soft(z_g-1, z_g),   L_soft = T² KL(softmax z_g-1/T ‖ softmax z_g/T)

Sources: Furlanello, Lipton, Tschannen, Itti, Anandkumar, "Born-Again Neural Networks", ICML 2018, arXiv 1805.04770
(generations, their ensemble, and the diagnostics `cwtm` and `dkpp`); Pham, Cho, Joshi, Hegde, "Revisiting
Self-Distillation", 2022, arXiv 2206.08491 (which attributes the gain to flatter minima, `mulde.metrics.flatness`). α, T
and the schedule are ours, and the papers' DenseNets are a wide residual network here. All generations have the same
architecture, new initial weights and the same schedule. The last one is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Count, Positive, Range, Size
from mulde.engine import Clock, frozen, is_frozen
from mulde.engine.protocol import Needs, Role, Setup, Trained
from mulde.losses.soft_labels import kd
from mulde.losses.target_transforms import confidence_weighted_cross_entropy, permuted_others
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import ImageSet, Split
from mulde.vision.models.averaged import Averaged
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.classifier_method import ClassifierMethod
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training
from mulde.vision.training.session import Session, train_on_labels

Soft = Literal["kd", "cwtm", "dkpp"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """A wide residual network in three generations."""

    student: str = "wrn-28-10"
    """The network of every generation."""
    teacher: str | None = None
    """Generation 0, which is first trained on the labels unless it is trained already; none: a network like the
    student."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    generations: Count = 3
    """G, generations after the one that is trained on the labels."""
    alpha: Annotated[float, Range(0, 1)] = 0.5
    """α, weight of the soft loss; 1 - α is that of the labels."""
    temperature: Positive = 4.0
    """T of kd and dkpp."""
    soft: Soft = "kd"
    """What is learnt from the generation before. kd: its probabilities. Two diagnostics: cwtm, its confidence alone, as
    weights of the examples in the cross entropy with the labels; dkpp, its probabilities with those of all classes but
    the first in random order."""
    independent: bool = False
    """Also train as many networks on the labels alone as there are generations, for the figures of an ensemble of
    independent networks."""
    shuffled: bool = False
    """Control: a generation receives the outputs for other images of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            optimizer=OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, milestones=(60, 120, 160), milestone_factor=0.2)
        )
    )
    """Epochs, batches and optimiser of every generation."""

    @property
    def uses_teacher(self) -> bool:
        """Whether any term depends on the generation before."""
        return self.alpha > 0


RECOMMENDED = {**ONE_COMPUTER, "student": "resnet20", "generations": 2}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "self-distillation"
NEEDS = Needs("images", {"student": Role("logits"), "teacher": Role("logits")})


class BornAgain(ClassifierMethod):
    """One learner, `student`, and the generation before it, frozen."""

    def __init__(self, student: nn.Module, teacher: nn.Module, config: Config, images: ImageSet) -> None:
        super().__init__()
        self.student, self.teacher, self.config = student, frozen(teacher), config
        self.outputs = config.training.outputs_of(self.teacher, images, "logits")
        self.temperature = config.temperature

    def learners(self) -> dict[str, Any]:
        return {"student": self.student.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        alpha, own, terms = self.config.alpha, self.student(batch.images).logits, {}
        if alpha < 1:
            terms["student/hard"] = (1 - alpha) * functional.cross_entropy(own, batch.labels)
        if alpha:
            images, rows = (values.roll(int(self.config.shuffled), 0) for values in (batch.images, batch.index))
            target = self.outputs(images, rows).logits
            terms["student/soft"] = alpha * SOFT[self.config.soft](target, own, batch.labels, self.temperature)
        return terms


SOFT: dict[Soft, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "kd": lambda target, own, labels, temperature: kd(target, own, temperature),
    "cwtm": lambda target, own, labels, temperature: confidence_weighted_cross_entropy(target, own, labels),
    "dkpp": lambda target, own, labels, temperature: kd(permuted_others(target), own, temperature),
}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The last generation (`student`), the first (`teacher`), and those between, each with weights of its own.

    Where the student is given, the generations between begin at its weights. A given teacher is trained already.
    """

    def made(name: str) -> nn.Module:
        return classifier(name, config.student, data, config.channels)

    def like_student(name: str) -> nn.Module:
        return copy.deepcopy(given["student"]) if "student" in given else made(name)

    def first() -> nn.Module:
        if config.teacher is None:
            return like_student("teacher")
        return classifier("teacher", config.teacher, data, config.channels)

    between = {name: like_student(name) for name in map(named, range(1, config.generations))}
    found = by_role(given, {"student": lambda: made("student"), "teacher": first}, teachers=("teacher",))
    others = [like_student(f"independent-{i}") for i in range(1, config.generations + 1) if config.independent]
    return {**found, **between, "independent": nn.ModuleList(others)}


def named(generation: int) -> str:
    """Name of a generation and of its stage."""
    return f"generation-{generation}"


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> BornAgain:
    """The student with the generation before it."""
    return BornAgain(networks["student"], networks["teacher"], config, data.train)


def run(config: Config, data: Split, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Train the generations in turn, and with `independent` also the independent networks."""
    teacher, kept = networks["teacher"], dict[str, nn.Module]()
    others: nn.ModuleList = networks["independent"]
    left = config.generations + len(others) + 1  # stages, which take equal parts of the budget
    if config.uses_teacher:
        kept[named(0)] = teacher
        if not is_frozen(teacher):
            common, name = session.shared(), named(0)
            train_on_labels(teacher, data.train, config.training, common, data.seed, name, fraction=1 / left)
        for number, network in enumerate(others, 1):
            name, fraction = f"independent-{number}", 1 / (left - number)
            train_on_labels(network, data.train, config.training, session.shared(), data.seed, name, fraction=fraction)
        for generation in range(1, config.generations):
            network, fraction = networks[named(generation)], 1 / (config.generations - generation + 1)
            setup = Setup(BornAgain(network, teacher, config, data.train), config.training.feed(data.train, data.seed))
            session.fit(setup, config, name=named(generation), fraction=fraction)
            kept[named(generation)] = teacher = network
    student = networks["student"]
    record = session.fit(BornAgain(student, teacher, config, data.train), config, data=data)
    if config.uses_teacher:
        kept |= ensembles([*kept.values(), student], [kept[named(0)], *others])
    return Trained(student, "classify", kept, record)


def ensembles(generations: list[nn.Module], independent: list[nn.Module]) -> dict[str, nn.Module]:
    """The means of the probabilities of all generations, and of as many independent networks, if there are any."""
    found: dict[str, nn.Module] = {"ensemble": Averaged(generations)}
    return found | ({"independent-ensemble": Averaged(independent)} if len(independent) > 1 else {})


STUDY = Study(
    config=Config(
        student="mlp-128-128",
        alpha=0.7,
        temperature=2.0,
        generations=2,
        independent=True,
        training=Training(40, 64, "none", OptimizerSteps("adam", 1e-3, 1e-4)),
    ),
    variants={
        "baseline": {"alpha": 0.0, "independent": False},
        "method": {},
        "weight 0": {"soft": "cwtm"},
        "control": {"soft": "dkpp"},
        "longer": {
            "alpha": 0.0,
            "independent": False,
            "training": Training(3 * 40, 64, "none", OptimizerSteps("adam", 1e-3, 1e-4)),
        },
    },
    metric="accuracy",
    data="digits",
    label_noise=0.4,
    paper_data="cifar100:PATH",
    notes="the digits of scikit-learn with 40 % wrong training labels; two generations; every generation is trained as "
    "long as the baseline, and two more networks for the ensemble",
    meaning="weight 0: CWTM, only the confidence of the generation before; control: DKPP, its probabilities but the "
    "first in random order; longer: the epochs of all three generations",
)
