"""DCM: mutual distillation between all heads of two networks.

    image ─▶ peer a: head 1, head 2, output ◀── each of the three to each of the three ──▶ peer b: the same

    L_a = Σ_k CE(z_ak, y) + Σ_k Σ_l KL(sg softmax z_bl ‖ softmax z_ak),  and L_b likewise

Source: Yao, Sun, "Knowledge Transfer via Dense Cross-Layer Mutual-Distillation", ECCV 2020, arXiv
2008.07816. As in the authors' code T is 1 and both sides of a KL are smoothed; unlike it, the optimiser
keeps its momentum when the learning rate falls, and both peers are evaluated in eval mode. Without heads it
is deep mutual learning (DML).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import NonNegative, Size
from mulde.engine import Clock, Method
from mulde.engine.protocol import Needs, Role, Trained
from mulde.errors import UsageError
from mulde.vision.ablation.study import Study
from mulde.vision.data.images import Split
from mulde.vision.models import seeded
from mulde.vision.models.heads import MultiHead, auxiliary_heads
from mulde.vision.models.initial import by_role, classifier
from mulde.vision.models.networks import plan
from mulde.vision.training.evaluation import mean_metrics
from mulde.vision.training.feeds import ImageBatch
from mulde.vision.training.options import ONE_COMPUTER, OptimizerSteps, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for CIFAR-100."""

    student: str = "wrn-28-10"
    """The student, peer a, see `mulde.vision.models.networks`."""
    partner: str = "wrn-28-10"
    """The partner, peer b; may be larger or smaller."""
    channels: Size = 16
    """Channels of a residual network's first stage."""
    heads: bool | None = None
    """Auxiliary heads on all stages but the last; without them this is DML. None: where both are networks of ours with
    such stages."""
    auxiliary_weight: NonNegative = 1.0
    """Weight of the auxiliary heads' cross entropy (deep supervision)."""
    same_weight: NonNegative = 1.0
    """Weight of the KL between heads of the same stage."""
    cross_weight: NonNegative = 1.0
    """Weight of the KL between heads of different stages."""
    smoothing: NonNegative = 1e-8
    """ε in p ← (p + ε) / (1 + kε), on both sides of a KL (authors' code)."""
    shuffled: bool = False
    """Control: a peer receives the logits of another image of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            optimizer=OptimizerSteps("sgd", 0.1, 5e-4, momentum=0.9, milestones=(60, 120, 160), milestone_factor=0.2)
        )
    )
    """Epochs, batches and optimiser."""


RECOMMENDED = {**ONE_COMPUTER, "student": "resnet20", "partner": "resnet20"}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "mutual distillation"
NEEDS = Needs("images", {"student": Role("logits"), "partner": Role("logits")})


def smoothed_kl(target: Tensor, scores: Tensor, epsilon: float) -> Tensor:
    """KL(softmax target ‖ softmax scores) of logits (b, k), both smoothed; sum over classes, batch mean."""
    p, q = ((x.softmax(1) + epsilon) / (1 + epsilon * x.shape[1]) for x in (target, scores))
    return (p * (p.log() - q.log())).sum(1).mean()


class DCM(Method):
    """Two learners, `peer_a` and `peer_b`, each with its heads."""

    def __init__(self, peer_a: MultiHead, peer_b: MultiHead, config: Config) -> None:
        super().__init__()
        if len(peer_a.heads) != len(peer_b.heads):
            raise UsageError(
                f"DCM pairs heads stage by stage; got {len(peer_a.heads)} auxiliary heads and "
                f"{len(peer_b.heads)}; choose networks with as many stages"
            )
        self.peer_a, self.peer_b, self.config = peer_a, peer_b, config

    def learners(self) -> dict[str, Any]:
        return {"peer_a": self.peer_a.parameters(), "peer_b": self.peer_b.parameters()}

    def losses(self, batch: ImageBatch, clock: Clock) -> dict[str, Tensor]:
        outputs = {"peer_a": self.peer_a(batch.images), "peer_b": self.peer_b(batch.images)}
        terms: dict[str, Tensor] = {}
        for me, you in (("peer_a", "peer_b"), ("peer_b", "peer_a")):
            received = [logits.detach().roll(int(self.config.shuffled), 0) for logits in outputs[you]]
            terms |= {f"{me}/{term}": loss for term, loss in self._terms(outputs[me], received, batch.labels).items()}
        return terms

    def _terms(self, own: list[Tensor], received: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        config, stages = self.config, range(len(own))
        hard = [functional.cross_entropy(logits, labels) for logits in own]
        same = [(k, k) for k in stages]
        cross = [(k, j) for k in stages for j in stages if k != j]
        terms = {"hard": hard[-1]}
        if config.auxiliary_weight and len(hard) > 1:
            terms["auxiliary"] = config.auxiliary_weight * torch.stack(hard[:-1]).sum()
        for name, weight, pairs in (
            ("same", config.same_weight, same),
            ("cross", config.cross_weight, cross),
        ):
            if weight and pairs:
                transfer = [smoothed_kl(received[j], own[k], config.smoothing) for k, j in pairs]
                terms[name] = weight * torch.stack(transfer).sum()
        return terms

    def predict(self, batch: ImageBatch) -> Tensor:
        """Logits (b, k) of the student's own output."""
        return self.peer_a.network(batch.images).logits

    def exported(self) -> dict[str, nn.Module]:
        """Both networks, without the heads."""
        return {"student": self.peer_a.network, "partner": self.peer_b.network}


def networks(config: Config, data: Split, given: Mapping[str, Any]) -> dict[str, Any]:
    """The student and its partner, with their auxiliary heads."""
    new = {
        "student": lambda: classifier("peer_a", config.student, data, config.channels),
        "partner": lambda: classifier("peer_b", config.partner, data, config.channels),
    }
    return by_role(given, new)


def build(config: Config, data: Split, networks: Mapping[str, Any]) -> DCM:
    """Both networks with their heads, on the default batches."""

    names = {"student": config.student.partition(":")[0], "partner": config.partner.partition(":")[0]}
    wanted = {role: _stages(name, config.channels) for role, name in names.items()}
    fitting = all(widths and networks[role].widths == widths for role, widths in wanted.items())

    def peer(role: str, learner: str) -> MultiHead:
        if not (fitting if config.heads is None else config.heads):
            return MultiHead(networks[role], nn.ModuleList())
        with seeded(data.seed, f"{learner}/heads"):
            heads = auxiliary_heads(names[role], data.classes, channels=config.channels)
        if networks[role].widths != wanted[role]:
            raise UsageError(
                f"{role}: auxiliary heads are made for {names[role]}, with stages of {wanted[role]} channels; the "
                f"network given has {networks[role].widths}; name its architecture, or set heads to False"
            )
        return MultiHead(networks[role], heads)

    return DCM(peer("student", "peer_a"), peer("partner", "peer_b"), config)


def _stages(name: str, channels: int) -> tuple[int, ...]:
    """Channels of the stages of a network that can have auxiliary heads; empty for others."""
    return tuple(plan(name, channels)[-1]) if name.startswith(("cnn-", "resnet", "wrn-")) else ()


def metrics(config: Config, data: Split, trained: Trained) -> dict[str, float]:
    """Accuracy of each network, and their mean."""
    return mean_metrics({"peer_a": trained.student, "peer_b": trained.networks["partner"]}, trained.task, data)


BASELINE = {"auxiliary_weight": 0.0, "same_weight": 0.0, "cross_weight": 0.0}
STUDY = Study(
    config=Config(
        student="cnn-16-32-64",
        partner="cnn-16-32-64",
        training=Training(25, 128, "none", OptimizerSteps("sgd", 0.05, 5e-4, momentum=0.9)),
    ),
    variants={
        "baseline": {"heads": False, **BASELINE},
        "method": {},
        "weight 0": {"same_weight": 0.0, "cross_weight": 0.0},
        "control": {"shuffled": True},
    },
    metric="accuracy",
    evaluate=metrics,
    data="shapes:6000,size=14",
    train=2000,
    test=3000,
    label_noise=0.4,
    paper_data="cifar100:PATH",
    notes="generated shapes with 40 % wrong training labels instead of CIFAR-100; small networks, 25 epochs",
)
