"""CoLAD: two detectors learn together; for each object and level the one that is surer of its anchors assigns them.

    detector a ──costs──▶ ρ_a ╲                          ╱──labels──▶ detector a
                               larger ρ: its costs assign
    detector b ──costs──▶ ρ_b ╱                          ╲──labels──▶ detector b

    ρ = σ / μ of the costs, or (μ₊ - μ₋)² / (σ₊² + σ₋²) of two Gaussians fitted to them (Fisher)

Source: Nguyen et al., "Improving Object Detection by Label Assignment Distillation", WACV 2022, arXiv
2108.10520. As in the authors' code roles are settled per object and pyramid level, over all candidates of the
level, with the unbiased σ, equality in favour of b, and a lone candidate goes to the lower cost; the levels
are then one mixture. That code has σ/μ only. Unlike it, images without candidates are harmless.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method
from mulde.vision.ablation.study import Verification
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models.assignment import anchor_costs, by_object, owners, positives, two_gaussians
from mulde.vision.models.detector import AnchorDetector, Anchored, anchored_losses, without_background
from mulde.vision.models.initial import anchor_detector
from mulde.vision.training.detection import as_rows, detection_metrics
from mulde.vision.training.feeds import BoxBatch, BoxFeed
from mulde.vision.training.session import OptimizerSteps, Session, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for COCO in 24 epochs; unlike its trunks ours begin untrained.

    All images are held in memory: at 800 pixels COCO takes 480 GB, at size=256 it takes 50.
    """

    network: str = "imagenet-resnet50"
    """The first detector's trunk, see `mulde.vision.models.names`."""
    partner: str = "imagenet-resnet101"
    """The second one's."""
    channels: int = 64
    """Channels of the first stage of a residual network for small images."""
    width: int = 256
    """Channels of pyramid and head, of both."""
    anchor_scale: float = 8.0
    """Side of an anchor, in steps of its level."""
    stages: int = 3
    """Last stages of the trunks that are levels of the pyramid; of a ResNet, strides 8, 16 and 32."""
    extra: int = 2
    """Further levels, each half as large as the one before; strides 64 and 128."""
    tower: int = 4
    """Convolutions of the head before classes, and before boxes."""
    roles: Literal["sigma/mu", "fisher", "own"] = "sigma/mu"
    """What decides who assigns; with "own" each detector assigns for itself, which is PAA twice."""
    shuffled: bool = False
    """Sabotage: costs come from what the detectors say about another image of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            24, 16, "flip", OptimizerSteps("sgd", 0.01, 1e-4, momentum=0.9, milestones=(16, 22), warmup_epochs=0.07)
        )
    )
    """Length, batches and optimiser, of both."""


def sigma_over_mu(costs: Tensor) -> Tensor:
    """Unbiased standard deviation over mean of the finite costs of every row (r, m): (r,)."""
    finite = costs.isfinite()
    values, count = torch.where(finite, costs, 0.0), finite.sum(1)
    mean = values.sum(1) / count.clamp_min(1)
    squares = ((values - mean[:, None]).square() * finite).sum(1)
    return (squares / (count - 1).clamp_min(1)).sqrt() / mean.clamp_min(1e-12)


def fisher(costs: Tensor) -> Tensor:
    """(μ₊ - μ₋)² / (σ₊² + σ₋²) of two Gaussians fitted to the finite costs of every row (r, m): (r,)."""
    fit = two_gaussians(costs)
    return (fit.means[:, 0] - fit.means[:, 1]).square() / fit.variances.sum(1)


@torch.no_grad()
def second_assigns(first: Tensor, second: Tensor, levels: Tensor, roles: str) -> tuple[Tensor, Tensor]:
    """Whether the second network assigns, for each object and level (r, l), and where there is anything to assign.

    first, second: costs (r, a) by both networks, infinite at the same places. levels: (a,) from 0.
    """
    measure = fisher if roles == "fisher" else sigma_over_mu
    chosen, asked = [], []
    for level in range(int(levels.max()) + 1):
        one, two = first[:, levels == level], second[:, levels == level]
        count = one.isfinite().sum(1)
        by_split, by_cost = measure(two) >= measure(one), two.amin(1) < one.amin(1)
        chosen.append(torch.where(count > 1, by_split, by_cost))
        asked.append(count > 0)
    return torch.stack(chosen, 1), torch.stack(asked, 1)


class CoLAD(Method):
    """Two learners, `peer_a` and `peer_b`."""

    decisions: Tensor

    def __init__(self, peer_a: AnchorDetector, peer_b: AnchorDetector, config: Config) -> None:
        super().__init__()
        self.peer_a, self.peer_b, self.config = peer_a, peer_b, config
        self.register_buffer("decisions", torch.zeros(2, dtype=torch.int64))  # how often a, b assigned

    def learners(self) -> dict[str, Any]:
        return {"peer_a": self.peer_a.parameters(), "peer_b": self.peer_b.parameters()}

    def losses(self, batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        first, second = self.peer_a(batch.images), self.peer_b(batch.images)
        terms: dict[str, Tensor] = {}
        assignments = self._assignments(first, second, batch)
        for name, answer, assignment in zip(("peer_a", "peer_b"), (first, second), assignments, strict=True):
            found = anchored_losses(answer, assignment, batch.boxes, batch.labels)
            terms |= {f"{name}/{term}": value for term, value in found.items()}
        return terms

    @torch.no_grad()
    def _assignments(self, first: Anchored, second: Anchored, batch: BoxBatch) -> tuple[Tensor, Tensor]:
        """The object (b, a) of every positive anchor, for a and for b."""
        if not torch.equal(first.anchors, second.anchors):
            raise ValueError(
                f"the detectors look at different anchors ({len(first.anchors)} and {len(second.anchors)}); "
                "take trunks with as many stages"
            )
        boxes, labels, levels = batch.boxes, batch.labels, first.levels
        owner = owners(first.anchors, boxes, labels)
        turn = int(self.config.shuffled)
        one, two = (
            by_object(anchor_costs(x.logits.roll(turn, 0), x.boxes.roll(turn, 0), owner, boxes, labels), owner, labels)
            for x in (first, second)
        )
        if self.config.roles == "own":
            for_a, for_b = (without_background(positives(costs, levels), owner, labels) for costs in (one, two))
            return for_a, for_b
        chosen, asked = second_assigns(one, two, levels, self.config.roles)
        self.decisions += torch.stack([(asked & ~chosen).sum(), (asked & chosen).sum()])
        best = torch.where(chosen[:, levels], two, one)
        both = without_background(positives(best, levels), owner, labels)
        return both, both

    def predict(self, batch: BoxBatch) -> Tensor:
        """The first detector's detections (b, n, 6): box, score, class."""
        return as_rows(self.peer_a.detect(batch.images))

    def exported(self) -> dict[str, nn.Module]:
        """Both detectors; either can be kept."""
        return {"peer_a": self.peer_a, "peer_b": self.peer_b}


def build(config: Config, split: Split[DetectionSet]) -> tuple[CoLAD, BoxFeed]:
    """Two fresh detectors and their batches."""

    def peer(role: str, name: str) -> AnchorDetector:
        return anchor_detector(
            role,
            name,
            split,
            channels=config.channels,
            width=config.width,
            anchor_scale=config.anchor_scale,
            stages=config.stages,
            extra=config.extra,
            tower=config.tower,
        )

    method = CoLAD(peer("peer_a", config.network), peer("peer_b", config.partner), config)
    return method, config.training.box_feed(split.train, split.seed)


def run(config: Config, split: Split[DetectionSet], session: Session) -> dict[str, float]:
    """Train; COCO's metrics as means of both detectors, AP of each, and how often the second one assigned."""
    method, feed = build(config, split)
    session.fit(method, feed, config)
    both = {name: detection_metrics(net, split.test) for name, net in method.exported().items()}
    found = {metric: sum(own[metric] for own in both.values()) / 2 for metric in ("ap", "ap50", "ap75")}
    found |= {name: own["ap"] for name, own in both.items()}
    if int(method.decisions.sum()):
        found["second_assigns"] = (method.decisions[1] / method.decisions.sum()).item()
    return found


VERIFICATION = Verification(
    config=Config(
        network="cnn-4-8-12-16",
        partner="cnn-8-16-24-32",
        width=24,
        anchor_scale=3.0,
        stages=2,
        extra=0,
        tower=1,
        training=Training(20, 16, "none", OptimizerSteps("adam", 2e-3)),
    ),
    arms={
        "baseline": {"roles": "own"},
        "method": {},
        "term at zero": {"roles": "own"},
        "sabotage": {"shuffled": True},
    },
    metric="ap",
    data="scenes:1200",
    train=400,
    test=400,
    read=load_boxed,
    paper_data="coco:PATH,size=800",
    notes="generated scenes of 64 x 64 pixels instead of COCO; small trunks, two levels, both from scratch",
)
