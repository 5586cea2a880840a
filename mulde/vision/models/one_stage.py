"""A one-stage detector with probabilistic anchor assignment (PAA), on the last stages of any trunk.

    image ─▶ trunk ─▶ its last stages ─▶ pyramid ─▶ shared head: classes, box, predicted IoU of every anchor

Source: Kim, Lee, ECCV 2020 (see `assignment.py`): one square anchor per position, focal loss, GIoU loss, an
IoU branch, score = √(class · IoU). Its pyramid has five levels, of strides 8 to 128: three stages of a ResNet and
two convolutions of stride 2 beyond them; its towers are four convolutions high. Left out: the convolution after
each sum of the pyramid, box voting, and the weights that the IoU gives to the box loss (distillation of label
assignment does not use them either).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mulde.config import Positive, Range, Size
from mulde.errors import UsageError
from mulde.losses.detection import focal, giou_loss, iou
from mulde.vision.models.architecture import made_by
from mulde.vision.models.assignment import BOX_WEIGHT, anchor_costs, by_object, of_owner, owners, positives
from mulde.vision.models.boxes import Detections, best_detections, clipped, decode, square_anchors
from mulde.vision.models.staged import StagedNetwork

IOU_WEIGHT = 0.5
"""Weight of the loss of the IoU branch."""
RARE = 0.01
"""Initial probability of every class."""


@dataclass(frozen=True, kw_only=True)
class DetectorShape:
    """Shape of one-stage detectors."""

    channels: Size = 64
    """Channels of the first stage of a trunk that is a residual network for small images."""
    width: Size = 256
    """Channels of pyramid and head."""
    anchor_scale: Positive = 8.0
    """Side of an anchor, in steps of its level."""
    stages: Size = 3
    """Last stages of the trunk that are levels of the pyramid; of a ResNet, strides 8, 16 and 32."""
    extra: Annotated[int, Range(0, 100)] = 2
    """Further levels, each half as large as the one before; strides 64 and 128."""
    tower: Annotated[int, Range(0, 100)] = 4
    """Convolutions of the head before classes, and before boxes."""


class Anchored(NamedTuple):
    """Output of a one-stage detector for b images with a anchors each."""

    maps: tuple[Tensor, ...]
    """The pyramid, each (b, d, h, w), from fine to coarse."""
    logits: Tensor
    """(b, a, k) classes, each against all others."""
    boxes: Tensor
    """(b, a, 4)"""
    overlaps: Tensor
    """(b, a) logits of the IoU of each box with its object."""
    anchors: Tensor
    """(a, 4)"""
    levels: Tensor
    """(a,) level of every anchor, 0 the finest."""


class AnchorDetector(nn.Module):
    """Trunk, pyramid and head."""

    def __init__(
        self,
        trunk: StagedNetwork,
        classes: int,
        *,
        width: Size = 256,
        anchor_scale: Positive = 8.0,
        stages: Size = 3,
        extra: Annotated[int, Range(0, 100)] = 2,
        tower: Annotated[int, Range(0, 100)] = 4,
    ) -> None:
        """The classifier of the trunk is removed; for the other arguments see `DetectorShape`."""
        super().__init__()
        if len(trunk.widths) < stages:
            raise UsageError(f"the detector reads the last {stages} stages; the trunk has {len(trunk.widths)}")
        self.architecture = made_by(
            "AnchorDetector", trunk=trunk, classes=classes, width=width, anchor_scale=anchor_scale, stages=stages,
            extra=extra, tower=tower,
        )  # fmt: skip
        trunk.classifier = nn.Identity()
        self.trunk, self.classes, self.width, self.anchor_scale = trunk, classes, width, anchor_scale
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in trunk.widths[-stages:])
        self.extra = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(extra))
        self.class_tower, self.box_tower = _tower(width, tower), _tower(width, tower)
        self.class_out, self.box_out = nn.Conv2d(width, classes, 3, 1, 1), nn.Conv2d(width, 4, 3, 1, 1)
        self.iou_out = nn.Conv2d(width, 1, 3, 1, 1)
        self.scales = nn.Parameter(torch.ones(stages + extra))
        for layer in (self.class_out, self.box_out, self.iou_out):
            nn.init.normal_(layer.weight, std=0.01)
            _begin_at(layer, 0.0)
        _begin_at(self.class_out, math.log(RARE / (1 - RARE)))

    def forward(self, images: Tensor) -> Anchored:
        """images: (b, channels, h, w)."""
        maps = self._pyramid(images)
        logits, boxes, overlaps, anchors, levels = [], [], [], [], []
        for level, features in enumerate(maps):
            own = self._anchors(features, images)
            kinds, places = self.class_tower(features), self.box_tower(features)
            logits.append(_by_anchor(self.class_out(kinds)))
            boxes.append(decode(_by_anchor(self.box_out(places)) * self.scales[level], own))
            overlaps.append(_by_anchor(self.iou_out(places)).squeeze(2))
            anchors.append(own)
            levels.append(torch.full((len(own),), level, device=images.device))
        return Anchored(
            tuple(maps),
            torch.cat(logits, 1),
            torch.cat(boxes, 1),
            torch.cat(overlaps, 1),
            torch.cat(anchors),
            torch.cat(levels),
        )

    def losses(self, images: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses of plain training: the detector's own costs assign the anchors."""
        answer = self(images)
        return anchored_losses(answer, assigned(answer, boxes, labels), boxes, labels)

    @torch.no_grad()
    def detect(self, images: Tensor, most: int = 100) -> Detections:
        """Objects in images, best first."""
        answer = self(images)
        scores = (answer.logits.sigmoid() * answer.overlaps.sigmoid()[..., None]).sqrt()  # (b, a, k)
        b, a, k = scores.shape
        return best_detections(
            clipped(answer.boxes, images.shape[2:])[:, :, None].expand(-1, -1, k, -1).reshape(b, a * k, 4),
            scores.reshape(b, a * k),
            torch.arange(k, device=images.device).expand(b, a, k).reshape(b, a * k),
            threshold=0.6,
            most=most,
        )

    def _pyramid(self, images: Tensor) -> list[Tensor]:
        """Maps (b, d, h, w), from fine to coarse."""
        found = self.trunk(images).stages[-len(self.lateral) :]
        maps = [lateral(features) for lateral, features in zip(self.lateral, found, strict=True)]
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + functional.interpolate(maps[i], size=maps[i - 1].shape[2:], mode="nearest")
        for halve in self.extra:
            maps.append(halve(maps[-1]))
        return maps

    def _anchors(self, features: Tensor, images: Tensor) -> Tensor:
        step = images.shape[2] / features.shape[2]
        return square_anchors(features.shape[2:], images.shape[2:], [self.anchor_scale * step]).to(images)


def assigned(found: Anchored, boxes: Tensor, labels: Tensor) -> Tensor:
    """The object (b, a) that each positive anchor predicts, -1 for background, by this detector's costs."""
    owner = owners(found.anchors, boxes, labels)
    costs = by_object(anchor_costs(found.logits, found.boxes, owner, boxes, labels), owner, labels)
    return without_background(positives(costs, found.levels), owner, labels)


def without_background(positive: Tensor, owner: Tensor, labels: Tensor) -> Tensor:
    """Owners (b, a) where an anchor is positive for its object, else -1; positive: (r, a), one row per object."""
    image = (labels >= 0).nonzero()[:, 0]
    chosen = torch.zeros(owner.shape, dtype=torch.int64, device=owner.device)
    chosen = chosen.index_add_(0, image, positive.long())  # an anchor is a candidate of one object only
    return owner.masked_fill(chosen == 0, -1)


def anchored_losses(answer: Anchored, assignment: Tensor, boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Losses of a detector for an assignment (b, a) of objects to anchors.

    class: focal loss of all anchors / max(positives, images). box: 1.3 · mean GIoU loss of the positives.
    iou: 0.5 · mean binary cross entropy of the positives with the IoU that their boxes have.
    """
    positive = assignment >= 0
    own, kind = of_owner(assignment, boxes, labels)
    target = functional.one_hot(kind, answer.logits.shape[2]).to(answer.logits) * positive[..., None]
    count = positive.sum()
    class_loss = focal(answer.logits, target).sum() / count.clamp_min(len(boxes))
    predicted, truth = answer.boxes[positive], own[positive]
    overlap = iou(predicted.detach(), truth)
    branch = functional.binary_cross_entropy_with_logits(answer.overlaps[positive], overlap, reduction="sum")
    many = count.clamp_min(1)
    return {
        "class": class_loss,
        "box": BOX_WEIGHT * giou_loss(predicted, truth).sum() / many,
        "iou": IOU_WEIGHT * branch / many,
    }


def _tower(width: int, height: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(height):
        layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.GroupNorm(_groups(width), width), nn.ReLU()]
    return nn.Sequential(*layers)


def _begin_at(layer: nn.Conv2d, bias: float) -> None:
    assert layer.bias is not None
    nn.init.constant_(layer.bias, bias)


def _groups(width: int) -> int:
    """Channels normalised together are at most 8, or all where 8 does not divide the width."""
    return width // 8 if width % 8 == 0 else 1


def _by_anchor(features: Tensor) -> Tensor:
    """(b, c, h, w) -> (b, h * w, c), positions row by row as the anchors."""
    return features.flatten(2).transpose(1, 2)
