"""CoLAD: mutual label assignment distillation between two detectors.

    detector a ──costs──▶ ρ_a ╲                          ╱──labels──▶ detector a
                               larger ρ: its costs assign
    detector b ──costs──▶ ρ_b ╱                          ╲──labels──▶ detector b

    ρ = σ / μ of the costs, or (μ₊ - μ₋)² / (σ₊² + σ₋²) of two Gaussians fitted to them (Fisher)

Source: Nguyen et al., "Improving Object Detection by Label Assignment Distillation", WACV 2022, arXiv
2108.10520. As in the authors' code the assigning detector is chosen per object and pyramid level, over all
candidates of the level, with the unbiased σ, ties in favour of b, and the lower cost where there is a single
candidate; then one mixture is fitted to all levels. That code has σ/μ only, and fails on images without candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mulde.engine import Clock, Method
from mulde.engine.protocol import Needs, Role, Trained
from mulde.errors import UsageError
from mulde.vision.ablation.study import Study
from mulde.vision.data.boxes import DetectionSet
from mulde.vision.data.images import Split
from mulde.vision.data.loading import load_boxed
from mulde.vision.models.assignment import anchor_costs, by_object, owners, positives, two_gaussians
from mulde.vision.models.initial import anchor_detector, by_role
from mulde.vision.models.one_stage import AnchorDetector, Anchored, DetectorShape, anchored_losses, without_background
from mulde.vision.training.detection import DETECTOR, as_rows
from mulde.vision.training.evaluation import mean_metrics
from mulde.vision.training.feeds import BoxBatch
from mulde.vision.training.options import OptimizerSteps, Training


@dataclass(frozen=True, kw_only=True)
class Config:
    """The paper's values for COCO in 24 epochs; our trunks begin untrained.

    All images are held in memory: at 800 pixels COCO takes 480 GB, at size=256 it takes 50.
    """

    student: str = "imagenet-resnet50"
    """Trunk of the student, peer a, see `mulde.vision.models.networks`."""
    partner: str = "imagenet-resnet101"
    """Trunk of the partner, peer b."""
    shape: DetectorShape = field(default_factory=DetectorShape)
    """Shape of both detectors."""
    roles: Literal["sigma/mu", "fisher", "own"] = "sigma/mu"
    """Measure that chooses the assigning detector; with "own" each assigns its own anchors, which is PAA twice."""
    shuffled: bool = False
    """Control: costs are computed from the outputs for another image of the batch."""
    training: Training = field(
        default_factory=lambda: Training(
            24, 16, "flip", OptimizerSteps("sgd", 0.01, 1e-4, momentum=0.9, milestones=(16, 22), warmup_epochs=0.07)
        )
    )
    """Epochs, batches and optimiser, of both."""


RECOMMENDED = {
    **DETECTOR,
    "student": "cnn-16-32-64-128",
    "partner": "cnn-32-64-128-256",
}
"""Options of the preset `recommended`: networks and schedules for one computer."""

FIELD = "detection"
NEEDS = Needs("boxes", {"student": Role("detections"), "partner": Role("detections")})


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
    """Whether the second network assigns, for each object and level (r, l), and where there are candidates.

    Parameters
    ----------
    first, second
        Costs (r, a) by both networks, infinite at the same places.
    levels
        (a,) from 0.
    """
    measure = fisher if roles == "fisher" else sigma_over_mu
    chosen, present = [], []
    for level in range(int(levels.max()) + 1):
        one, two = first[:, levels == level], second[:, levels == level]
        count = one.isfinite().sum(1)
        by_split, by_cost = measure(two) >= measure(one), two.amin(1) < one.amin(1)
        chosen.append(torch.where(count > 1, by_split, by_cost))
        present.append(count > 0)
    return torch.stack(chosen, 1), torch.stack(present, 1)


class CoLAD(Method):
    """Two learners, `peer_a` and `peer_b`."""

    decisions: Tensor

    def __init__(self, peer_a: AnchorDetector, peer_b: AnchorDetector, config: Config) -> None:
        super().__init__()
        self.peer_a, self.peer_b, self.config = peer_a, peer_b, config
        self.register_buffer("decisions", torch.zeros(2, dtype=torch.int64))  # assignments by a, by b

    def learners(self) -> dict[str, Any]:
        return {"peer_a": self.peer_a.parameters(), "peer_b": self.peer_b.parameters()}

    def losses(self, batch: BoxBatch, clock: Clock) -> dict[str, Tensor]:
        first, second = self.peer_a(batch.images), self.peer_b(batch.images)
        terms: dict[str, Tensor] = {}
        assignments = self._assignments(first, second, batch)
        for name, output, assignment in zip(("peer_a", "peer_b"), (first, second), assignments, strict=True):
            found = anchored_losses(output, assignment, batch.boxes, batch.labels)
            terms |= {f"{name}/{term}": value for term, value in found.items()}
        return terms

    @torch.no_grad()
    def _assignments(self, first: Anchored, second: Anchored, batch: BoxBatch) -> tuple[Tensor, Tensor]:
        """The object (b, a) of every positive anchor, for a and for b."""
        if not torch.equal(first.anchors, second.anchors):
            raise UsageError(
                f"the detectors have different anchors ({len(first.anchors)} and {len(second.anchors)}); "
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
        chosen, present = second_assigns(one, two, levels, self.config.roles)
        self.decisions += torch.stack([(present & ~chosen).sum(), (present & chosen).sum()])
        best = torch.where(chosen[:, levels], two, one)
        both = without_background(positives(best, levels), owner, labels)
        return both, both

    def predict(self, batch: BoxBatch) -> Tensor:
        """The student's detections (b, n, 6): box, score, class."""
        return as_rows(self.peer_a.detect(batch.images))

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """Fraction of assignments that the second detector made, where there was a choice."""
        total = int(self.decisions.sum())
        return {"second_assigns": (self.decisions[1] / self.decisions.sum()).item()} if total else {}

    def exported(self) -> dict[str, nn.Module]:
        """Both detectors."""
        return {"student": self.peer_a, "partner": self.peer_b}


def networks(config: Config, data: Split[DetectionSet], given: Mapping[str, Any]) -> dict[str, Any]:
    """Two detectors."""
    new = {
        "student": lambda: anchor_detector("peer_a", config.student, data, config.shape),
        "partner": lambda: anchor_detector("peer_b", config.partner, data, config.shape),
    }
    return by_role(given, new)


def build(config: Config, data: Split[DetectionSet], networks: Mapping[str, Any]) -> CoLAD:
    """Both detectors, on the default batches."""
    return CoLAD(networks["student"], networks["partner"], config)


def metrics(config: Config, data: Split[DetectionSet], trained: Trained) -> dict[str, float]:
    """COCO's metrics as means of both detectors, AP of each, and the fraction of assignments by the second one."""
    peers = {"peer_a": trained.student, "peer_b": trained.networks["partner"]}
    return {**mean_metrics(peers, trained.task, data), **trained.figures}


STUDY = Study(
    config=Config(
        student="cnn-4-8-12-16",
        partner="cnn-8-16-24-32",
        shape=DetectorShape(width=24, anchor_scale=3.0, stages=2, extra=0, tower=1),
        training=Training(20, 16, "none", OptimizerSteps("adam", 2e-3)),
    ),
    variants={
        "baseline": {"roles": "own"},
        "method": {},
        "control": {"shuffled": True},
    },
    metric="ap",
    second_metric="peer_a",
    seeds=10,
    evaluate=metrics,
    data="scenes:1200",
    train=400,
    test=400,
    read=load_boxed,
    paper_data="coco:PATH,size=800",
    notes="generated scenes of 64 x 64 pixels instead of COCO; small trunks, two levels, both from scratch",
)
