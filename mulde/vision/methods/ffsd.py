"""FFSD: online distillation from fused students to a leader network.

    students ◀─logits─▶ students ──deepest maps──▶ fusion ──logits, fused map──▶ leader (kept)
    student i-1 ──attention to other places──▶ student i
    upsampler ──shallow maps rebuilt from a deep one──▶ shallow stages of the same student, of the leader

    student i   CE + T²/(K-1) Σ_j KL(z_j ‖ z_i) + [i ≥ 1] λ_div (diversity + self-distillation)
    fusion      CE + T² KL(mean z ‖ z_M)
    leader      CE + T² KL(z_M ‖ z_L) + λ_fus (att(F_L, F_M) + att(R(F_L), [F_i]) + self-distillation)
    upsampler   λ_sd Σ_stages distance of rebuilt maps from the network's own

Source: Li, Lin, et al., "Distilling a Powerful Student Model via Online Knowledge Distillation", IEEE TNNLS
2022, arXiv 2103.14473; the weights of the self-distillation terms (λ_div, λ_fus) and R, the inverse fusion,
follow the authors' code. All received values are detached, so the authors' four updates per batch are one
simultaneous update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Positive, Size, Whole
from mulde.engine import Clock, Method, OptimizerFactory, exponential
from mulde.engine.protocol import Needs, Role, Setup
from mulde.errors import UsageError
from mulde.losses.features import attention_distance, attention_map, map_distance
from mulde.losses.soft_labels import kd
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import Split
from mulde.vision.models import Features, StagedNetwork, seeded
from mulde.vision.models.fusion import Fusion, Upsampler, separable
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The authors' values for CIFAR-100."""

    student: str = "resnet20"
    """The leader, which is kept."""
    peer: tuple[str, ...] = ("resnet20", "resnet20")
    """The common students, at least two with as many stages; repeat the option."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    temperature: Positive = 2.0
    """T of all logit terms."""
    peer_weight: NonNegative = 1.0
    """Weight of the losses between students' logits."""
    fusion_weight: NonNegative = 1.0
    """Weight of the leader's loss on the fusion's logits."""
    diversity_weight: NonNegative = 1e-5
    """λ_div, weight of the diversity of neighbouring students and of the students' self-distillation."""
    rebuilding_weight: NonNegative = 1000.0
    """λ_sd, weight of the upsamplers' losses."""
    feature_weight: NonNegative = 10.0
    """λ_fus, weight of the leader's feature and self-distillation terms."""
    weight_warmup_epochs: Whole = 5
    """Epochs over which the three λ rise along exp(-5 (1 - e/5)²)."""
    normalised_diversity: bool = False
    """Whether the shifted attention target has unit length; the authors' mixes scales, hence its small weight."""
    shuffled: bool = False
    """Control: students and leader receive the outputs of another image of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            300,
            optimizer=OptimizerSteps("sgd", 0.1, 1e-4, momentum=0.9, nesterov=True, milestones=(150, 225)),
        )
    )
    """Length, batches, and the optimiser of the networks; the fusion has a tenth of its weight decay."""
    upsampler: OptimizerSteps = field(default_factory=lambda: OptimizerSteps("adam", 1e-3, 1e-4, milestones=(150, 225)))
    """Optimiser of the upsamplers; their learning rate falls with that of the networks."""


RECOMMENDED = {**ONE_COMPUTER, "upsampler_milestones": ()}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "mutual distillation"
NEEDS = Needs("images", {"student": Role("stages"), "peer": Role("stages", least=2, most=None)})


def shifted_attention(attention: Tensor, length: Tensor) -> Tensor:
    """t = (r/2 - q) sign(q - θ) + r/2: the lowest third is halved, larger values are reversed.

    attention: q (b, h * w) of unit length; length: r (b, 1), the length before; θ: the largest of the lowest
    third.
    """
    lowest = attention.kthvalue(max(1, attention.shape[1] // 3), dim=1, keepdim=True).values
    return (length / 2 - attention) * (attention - lowest).sign() + length / 2


def shifted(features: Tensor, normalised: bool = False) -> tuple[Tensor, Tensor]:
    """Attention target (b, h * w) and feature map (b, d, h, w) with more weight where `features` have less."""
    attention, length = (
        attention_map(features),
        features.square().mean(1).flatten(1).norm(dim=1, keepdim=True),
    )
    target = shifted_attention(attention, torch.ones_like(length) if normalised else length)
    if normalised:
        target = functional.normalize(target, dim=1)
    change = (length * (target - attention) / features.shape[1]).view(len(features), 1, *features.shape[2:])
    return target, features + change


class FFSD(Method):
    """Learners: `student_0` ..., `fusion`, `leader`, and upsamplers of all these networks but `student_0`."""

    def __init__(self, students: Sequence[StagedNetwork], leader: StagedNetwork, classes: int, config: Config) -> None:
        super().__init__()
        if len(students) < 2:
            raise UsageError(f"FFSD fuses at least 2 students; got {len(students)}")
        count, widths = len(students), leader.widths
        if len(widths) < 2:
            raise UsageError(
                "FFSD rebuilds shallow stages from the deepest; got networks of 1 stage; choose larger ones"
            )
        self.config = config
        self.networks = nn.ModuleDict({f"student_{i}": net for i, net in enumerate(students)})
        self.names = list(self.networks)
        self.leader = leader
        self.fusion = Fusion(count, widths[-1], classes)
        self.inverse_fusion = separable(widths[-1], count * widths[-1])
        self.upsamplers = nn.ModuleDict({name: Upsampler(widths) for name in [*self.names[1:], "leader"]})
        self.schedule = exponential(0.0, 1.0, epochs=config.weight_warmup_epochs, whole_epochs=True)

    def learners(self) -> dict[str, Any]:
        return {
            **{name: net.parameters() for name, net in self.networks.items()},
            "fusion": self.fusion.parameters(),
            "leader": [*self.leader.parameters(), *self.inverse_fusion.parameters()],
            **{f"upsampler_{name}": module.parameters() for name, module in self.upsamplers.items()},
        }

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        factor = self.schedule(clock)
        students: dict[str, Features] = {name: net(batch.images) for name, net in self.networks.items()}
        leader: Features = self.leader(batch.images)
        deepest = [own.stages[-1].detach() for own in students.values()]
        fused: tuple[Tensor, Tensor] = self.fusion(deepest)
        average = torch.stack([own.logits.detach() for own in students.values()]).mean(0)
        return {
            **self._of_students(students, batch.labels, factor * self.config.diversity_weight),
            "fusion/hard": functional.cross_entropy(fused[1], batch.labels),
            "fusion/students": kd(average, fused[1], self.config.temperature),
            **self._of_leader(leader, fused, deepest, batch.labels, factor * self.config.feature_weight),
            **self._of_upsamplers({**students, "leader": leader}, factor * self.config.rebuilding_weight),
        }

    def _of_students(self, found: dict[str, Features], labels: Tensor, weight: float) -> dict[str, Tensor]:
        """Losses on labels and peers, and from the second student on the diversity from the student before."""
        config, names, terms = self.config, list(found), {}
        for i, (name, own) in enumerate(found.items()):
            terms[f"{name}/hard"] = functional.cross_entropy(own.logits, labels)
            if config.peer_weight:
                others = [
                    kd(self._sent(peer.logits), own.logits, config.temperature)
                    for other, peer in found.items()
                    if other != name
                ]
                terms[f"{name}/peers"] = config.peer_weight * torch.stack(others).mean()
            if i and config.diversity_weight:
                before = self._sent(found[names[i - 1]].stages[-1])
                target, elsewhere = shifted(before, config.normalised_diversity)
                difference = attention_map(own.stages[-1]) - target
                terms[f"{name}/diversity"] = weight * difference.square().mean()
                terms[f"{name}/self"] = weight * self._self_distillation(name, own, elsewhere)
        return terms

    def _of_leader(
        self, own: Features, fused: tuple[Tensor, Tensor], students: list[Tensor], labels: Tensor, weight: float
    ) -> dict[str, Tensor]:
        """Losses on labels, the fusion's logits and map, the students' maps, and self-distillation."""
        terms = {"leader/hard": functional.cross_entropy(own.logits, labels)}
        if self.config.fusion_weight:
            soft = kd(self._sent(fused[1]), own.logits, self.config.temperature)
            terms["leader/fusion"] = self.config.fusion_weight * soft
        if self.config.feature_weight:
            deepest, sent = own.stages[-1], self._sent(fused[0])
            spread = attention_distance(self.inverse_fusion(deepest), self._sent(torch.cat(students, 1)))
            terms["leader/fused_map"] = weight * attention_distance(deepest, sent)
            terms["leader/inverse"] = weight * spread
            terms["leader/self"] = weight * self._self_distillation("leader", own, sent)
        return terms

    def _self_distillation(self, name: str, own: Features, deepest: Tensor) -> Tensor:
        """Σ of attention distances of the shallow stages from maps rebuilt out of a deep one."""
        upsampler = cast(Upsampler, self.upsamplers[name])
        rebuilt = upsampler.targets(deepest, [stage.shape[2:] for stage in own.stages[:-1]])
        pairs = zip(own.stages[:-1], rebuilt, strict=True)
        return torch.stack([attention_distance(stage, target) for stage, target in pairs]).sum()

    def _of_upsamplers(self, found: dict[str, Features], weight: float) -> dict[str, Tensor]:
        """Losses of the shallow maps that are rebuilt from the deepest one of the same network."""
        terms = {}
        for name, upsampler in self.upsamplers.items():
            own = [stage.detach() for stage in found[name].stages]
            rebuilt = upsampler(own[-1], [stage.shape[2:] for stage in own[:-1]])
            distances = [
                distance(rebuilt_map, stage)
                for rebuilt_map, stage in zip(rebuilt, own[:-1], strict=True)
                for distance in (map_distance, attention_distance)
            ]
            terms[f"upsampler_{name}/rebuilding"] = weight * torch.stack(distances).sum()
        return terms

    def _sent(self, value: Tensor) -> Tensor:
        """A value as others receive it: detached."""
        return value.detach().roll(int(self.config.shuffled), 0)

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, k) of the leader."""
        return self.leader(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """The leader and the common students, without fusion, inverse fusion and upsamplers."""
        return {"student": self.leader, **self.networks}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The leader as student, and the common students."""

    def new(role: str, name: str) -> StagedNetwork:
        return classifier(role, name, data, config.channels)

    return by_role(
        given,
        {
            "student": lambda: new("leader", config.student),
            "peer": lambda: nn.ModuleList(new(f"student_{i}", name) for i, name in enumerate(config.peer)),
        },
    )


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> Setup:
    """All networks on the default batches; the fusion with a tenth of the weight decay."""
    with seeded(data.seed, "fusion"):
        method = FFSD(list(networks["peer"]), networks["student"], data.classes, config)
    common: OptimizerSteps = config.training.optimizer
    optimizers: dict[str, OptimizerFactory] = dict.fromkeys(method.learners(), common)
    optimizers["fusion"] = replace(common, weight_decay=common.weight_decay / 10)
    optimizers |= {name: config.upsampler for name in optimizers if name.startswith("upsampler")}
    return Setup(method, optimizers=optimizers)


BASELINE = {"peer_weight": 0.0, "fusion_weight": 0.0, "feature_weight": 0.0, "diversity_weight": 0.0}
STUDY = Study(
    config=Config(
        student="resnet8",
        peer=("resnet8", "resnet8"),
        training=Training(12, 128, "none", OptimizerSteps("sgd", 0.05, 1e-4, momentum=0.9, nesterov=True)),
        upsampler=OptimizerSteps("adam", 1e-3),
    ),
    variants={
        "baseline": BASELINE,
        "method": {},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    data="shapes:6000,size=14",
    train=2000,
    test=3000,
    label_noise=0.3,
    paper_data="cifar100:PATH",
    notes="generated shapes with 30 % wrong training labels instead of CIFAR-100; ResNet-8, 12 epochs",
)
