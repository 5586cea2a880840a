"""A two-stage detector: region proposals (RPN), then their classes and box offsets (RCN).

    image ─▶ trunk ─▶ last stage ─▶ RPN ─▶ proposals ─▶ RoI-align on the same map ─▶ RCN ─▶ class, box

Source: Ren et al., "Faster R-CNN", NeurIPS 2015: anchors above 0.7 (or best for an object) are positive, below
0.3 negative; regions from 0.5 on are an object's; half of the drawn anchors and a quarter of the drawn regions
are positive at most. Regions are read by RoI-align. Class 0 of the RCN, and of the RPN's two, is background.

`propose` and `classify` can be called separately, so that another detector can classify the proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.vision.models.architecture import made_by
from mulde.vision.models.boxes import (
    Detections,
    best_detections,
    clipped,
    decode,
    encode,
    pairwise_iou,
    roi_align,
    square_anchors,
    unsuppressed,
)
from mulde.vision.models.staged import StagedNetwork

EVEN = (1.0, 1.0, 1.0, 1.0)
"""Scale of the RPN's offsets; the RCN's are 0.1, 0.1, 0.2, 0.2."""


class Regions(NamedTuple):
    """Output of the RPN for b images with a anchors each."""

    features: Tensor
    """(b, d, h, w) the trunk's last stage."""
    logits: Tensor
    """(b, a, 2) background, object."""
    offsets: Tensor
    """(b, a, 4)"""
    anchors: Tensor
    """(a, 4)"""


class RegionOutputs(NamedTuple):
    """Output of the RCN for regions (b, r, 4)."""

    logits: Tensor
    """(b, r, 1 + k) background first."""
    offsets: Tensor
    """(b, r, k, 4), a box for every class."""


class Targets(NamedTuple):
    """Targets of anchors or regions (b, n)."""

    labels: Tensor
    """(b, n) int64, 0 for background."""
    offsets: Tensor
    """(b, n, 4) of the object's box; undefined for background."""
    drawn: Tensor
    """(b, n) bool, whether it is in the minibatch."""


class TwoStageDetector(nn.Module):
    """Trunk, RPN and RCN."""

    def __init__(
        self,
        trunk: StagedNetwork,
        classes: int,
        *,
        width: int = 512,
        hidden: int = 4096,
        sides: Sequence[float] = (128.0, 256.0, 512.0),
        bins: int = 7,
        drawn_anchors: int = 256,
        drawn_regions: int = 64,
        before: int = 2000,
        proposals: int = 300,
    ) -> None:
        """
        Parameters
        ----------
        trunk
            Network that computes the map; its classifier is removed.
        width
            Channels of the RPN.
        hidden
            Width of the RCN's two layers.
        sides
            Sides of the square anchors, in pixels.
        bins
            Rows and columns read from a region.
        drawn_anchors, drawn_regions
            Size of the minibatch per image.
        before, proposals
            Regions of an image before and after suppression.
        """
        super().__init__()
        self.architecture = made_by(
            "TwoStageDetector", trunk=trunk, classes=classes, width=width, hidden=hidden, sides=list(sides), bins=bins,
            drawn_anchors=drawn_anchors, drawn_regions=drawn_regions, before=before, proposals=proposals,
        )  # fmt: skip
        trunk.classifier = nn.Identity()
        self.trunk, self.classes, self.sides, self.bins = trunk, classes, tuple(sides), bins
        self.drawn_anchors, self.drawn_regions = drawn_anchors, drawn_regions
        self.before, self.proposals = before, proposals
        self.rpn = nn.Sequential(nn.Conv2d(trunk.widths[-1], width, 3, 1, 1), nn.ReLU())
        self.rpn_class, self.rpn_box = (nn.Conv2d(width, len(self.sides) * n, 1) for n in (2, 4))
        layers = [nn.Linear(trunk.widths[-1] * bins**2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
        self.rcn = nn.Sequential(*layers)
        self.rcn_class, self.rcn_box = nn.Linear(hidden, 1 + classes), nn.Linear(hidden, 4 * classes)
        for layer in (self.rpn_class, self.rpn_box, self.rcn_class):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.rcn_box.weight, std=0.001)

    def forward(self, images: Tensor) -> Regions:
        """images: (b, channels, h, w)."""
        features = self.trunk(images).stages[-1]
        inner = self.rpn(features)
        anchors = square_anchors(features.shape[2:], images.shape[2:], self.sides).to(images)
        return Regions(features, _by_anchor(self.rpn_class(inner), 2), _by_anchor(self.rpn_box(inner), 4), anchors)

    @torch.no_grad()
    def propose(self, regions: Regions, image: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Regions with the highest object scores, (b, r, 4), and which of these places are used, (b, r)."""
        scores = (regions.logits[..., 1] - regions.logits[..., 0]).detach()
        order = scores.topk(min(self.before, scores.shape[1]), 1).indices[..., None].expand(-1, -1, 4)
        boxes = clipped(decode(regions.offsets, regions.anchors[None], EVEN), image).gather(1, order)
        large = (boxes[..., 2:] - boxes[..., :2] > 1).all(2)
        stays = unsuppressed(boxes, 0.7) & large
        first = stays.long().argsort(dim=1, descending=True, stable=True)[:, : self.proposals]
        taken = stays.gather(1, first)
        boxes = boxes.gather(1, first[..., None].expand(-1, -1, 4))
        return torch.where(taken[..., None], boxes, boxes.new_tensor([0.0, 0.0, 2.0, 2.0])), taken

    def classify(self, features: Tensor, boxes: Tensor, image: Sequence[int]) -> RegionOutputs:
        """Output of the RCN for regions (b, r, 4) on the detector's own map (b, d, h, w)."""
        b, r, _ = boxes.shape
        inner = self.rcn(roi_align(features, boxes, image, self.bins).flatten(2))
        return RegionOutputs(self.rcn_class(inner), self.rcn_box(inner).view(b, r, self.classes, 4))

    def anchor_targets(self, anchors: Tensor, boxes: Tensor, labels: Tensor) -> Targets:
        """Targets of anchors (a, 4), with a random minibatch in every image."""
        overlap = pairwise_iou(anchors[None], boxes).masked_fill(labels[:, None] < 0, -1.0)  # (b, a, o)
        best, owner = overlap.max(2)
        most = overlap.amax(1, keepdim=True)
        is_best = ((overlap == most) & (most > 0)).any(2)
        positive = (best >= 0.7) | is_best
        own = boxes.gather(1, owner[..., None].expand(-1, -1, 4))
        drawn = _drawn(positive, (best < 0.3) & ~positive, self.drawn_anchors, 0.5)
        return Targets(positive.long(), _offsets(own, anchors[None], positive, EVEN), drawn)

    def region_targets(self, proposed: Tensor, taken: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Targets]:
        """A minibatch of regions (b, r, 4), which includes true boxes, and its targets."""
        regions = torch.cat([boxes, proposed], 1)
        real = torch.cat([labels >= 0, taken], 1)
        overlap = pairwise_iou(regions, boxes).masked_fill(labels[:, None] < 0, -1.0)
        best, owner = overlap.max(2)
        positive = (best >= 0.5) & real
        drawn = _drawn(positive, real & ~positive, self.drawn_regions, 0.25)
        chosen = drawn.long().argsort(dim=1, descending=True, stable=True)[:, : self.drawn_regions]
        positive, owner, drawn = (x.gather(1, chosen) for x in (positive, owner, drawn))
        regions, own = (x.gather(1, i[..., None].expand(-1, -1, 4)) for x, i in ((regions, chosen), (boxes, owner)))
        regions = torch.where(drawn[..., None], regions, regions.new_tensor([0.0, 0.0, 2.0, 2.0]))
        kind = torch.where(positive, labels.gather(1, owner) + 1, 0)
        return regions, Targets(kind, _offsets(own, regions, positive), drawn)

    def losses(self, images: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses of plain training: cross entropy and smooth L1 of both stages, each over its minibatch."""
        image = images.shape[2:]
        regions = self(images)
        anchors = self.anchor_targets(regions.anchors, boxes, labels)
        drawn, targets = self.region_targets(*self.propose(regions, image), boxes, labels)
        found = self.classify(regions.features, drawn, image)
        own = of_class(found.offsets, targets.labels)
        return {
            "rpn_class": mean_over(anchors, hard_class_loss(regions.logits, anchors.labels)),
            "rpn_box": mean_over(anchors, hard_box_loss(regions.offsets, anchors)),
            "rcn_class": mean_over(targets, hard_class_loss(found.logits, targets.labels)),
            "rcn_box": mean_over(targets, hard_box_loss(own, targets)),
        }

    @torch.no_grad()
    def detect(self, images: Tensor, most: int = 100) -> Detections:
        """Objects in images, in the order of their scores."""
        regions, image = self(images), images.shape[2:]
        proposed, taken = self.propose(regions, image)
        found = self.classify(regions.features, proposed, image)
        scores = found.logits.softmax(2)[..., 1:] * taken[..., None]  # (b, r, k)
        b, r, k = scores.shape
        boxes = clipped(decode(found.offsets, proposed[:, :, None].expand(-1, -1, k, -1)), image)
        kinds = torch.arange(k, device=images.device).expand(b, r, k)
        shape = (b, r * k)
        return best_detections(
            boxes.reshape(b, r * k, 4), scores.reshape(shape), kinds.reshape(shape), threshold=0.5, most=most
        )


def of_class(offsets: Tensor, labels: Tensor) -> Tensor:
    """Offsets of each region's class (b, r), from those of every class (b, r, k, 4); the first for background."""
    slot = (labels - 1).clamp_min(0)[..., None, None].expand(-1, -1, 1, 4)
    return offsets.gather(2, slot).squeeze(2)


def hard_class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy (b, n) of logits (b, n, k)."""
    return functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


def hard_box_loss(offsets: Tensor, targets: Targets) -> Tensor:
    """Smooth L1 (b, n) of offsets (b, n, 4), summed over the four; 0 for background."""
    loss = functional.smooth_l1_loss(offsets, targets.offsets, reduction="none").sum(2)
    return loss * (targets.labels > 0)


def mean_over(targets: Targets, values: Tensor) -> Tensor:
    """The mean of values (b, n) over the minibatch, background included, as Faster R-CNN divides both losses."""
    return (values * targets.drawn).sum() / targets.drawn.sum().clamp_min(1)


def _drawn(positive: Tensor, negative: Tensor, count: int, fraction: float) -> Tensor:
    """A random minibatch (b, n): at most `fraction` of `count` positive, the rest negative."""
    few = _random(positive, torch.full((len(positive), 1), round(fraction * count), device=positive.device))
    return few | _random(negative, count - few.sum(1, keepdim=True))


def _random(mask: Tensor, count: Tensor) -> Tensor:
    """At most `count` (b, 1) random places of a mask (b, n)."""
    luck = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0)
    return mask & (luck.argsort(1).argsort(1) < count)


def _offsets(own: Tensor, anchors: Tensor, positive: Tensor, scale: Sequence[float] = (0.1, 0.1, 0.2, 0.2)) -> Tensor:
    """Offsets of the objects' boxes; zero for background."""
    anchors = anchors.expand_as(own)
    return encode(torch.where(positive[..., None], own, anchors), anchors, scale)


def _by_anchor(features: Tensor, values: int) -> Tensor:
    """(b, anchors * values, h, w) -> (b, h * w * anchors, values), positions row by row."""
    return features.permute(0, 2, 3, 1).reshape(len(features), -1, values)
