"""Anchor assignment of PAA: the candidates of each object are split into positive and negative by their costs.

    candidates (IoU with the object >= 0.1, or its best)
        ─▶ cost of each ─▶ 9 cheapest per level ─▶ two Gaussians ─▶ positives

Source: Kim, Lee, "Probabilistic Anchor Assignment with IoU Prediction for Object Detection", ECCV 2020, and
the PAA head of MMDetection, which defines the cost (1.3 · GIoU loss) and the border (the candidate of highest
density among those of the Gaussian of low costs). As there, the anchors that an object overlaps most are always its
candidates (`min_pos_iou=0`), so that objects smaller than the smallest anchor have some. Unlike there, an object that
overlaps no anchor has none. Objects and levels without candidates are skipped; a single candidate is positive. Missing
costs are infinite. No function here has a gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mulde.losses.detection import focal, giou_loss
from mulde.vision.models.boxes import pairwise_iou

LEAST_IOU = 0.1
"""Smallest overlap of a candidate with its object."""
PER_LEVEL = 9
"""Number of candidates with the lowest costs per level that the mixture is fitted to."""
BOX_WEIGHT = 1.3
"""Weight of the GIoU loss, in the cost and in the training loss."""


class Mixture(NamedTuple):
    """Two Gaussians fitted to every row of costs (r, m); component 0 is initialised at the smallest cost."""

    means: Tensor
    """(r, 2)"""
    variances: Tensor
    """(r, 2)"""
    component: Tensor
    """(r, m) int64, the likelier component of every cost."""
    density: Tensor
    """(r, m) logarithm of the mixture's density; -inf where the cost is infinite."""


@torch.no_grad()
def owners(anchors: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """The object (b, a) that each anchor overlaps most, of which it is a candidate; -1: none.

    The anchor that an object overlaps most is a candidate of this object; if there are several objects, of the last.

    Parameters
    ----------
    anchors
        (a, 4)
    boxes
        (b, o, 4)
    labels
        (b, o), -1 in empty places.
    """
    overlap = pairwise_iou(boxes, anchors[None]).masked_fill(labels[..., None] < 0, -1.0)
    best, owner = overlap.max(1)
    owner = owner.masked_fill(best < LEAST_IOU, -1)
    favourite = (overlap > 0) & (overlap == overlap.amax(2, keepdim=True))  # (b, o, a)
    place = torch.arange(labels.shape[1], device=labels.device)[:, None]
    claimed = torch.where(favourite, place, -1).amax(1)
    return torch.where(claimed >= 0, claimed, owner)


@torch.no_grad()
def anchor_costs(logits: Tensor, predicted: Tensor, owner: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Cost (b, a) of the prediction of its object by each anchor; infinite for an anchor without an object.

        c = Σ_classes focal(p, object's class) + 1.3 · GIoU loss(predicted box, object's box)

    Parameters
    ----------
    logits
        (b, a, k)
    predicted
        (b, a, 4) boxes.
    owner
        (b, a)
    boxes
        (b, o, 4)
    labels
        (b, o)
    """
    own, kind = of_owner(owner, boxes, labels)
    target = functional.one_hot(kind, logits.shape[2]).to(logits)
    cost = focal(logits, target).sum(2) + BOX_WEIGHT * giou_loss(predicted, own)
    return cost.masked_fill(owner < 0, torch.inf)


def of_owner(owner: Tensor, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Box (b, a, 4) and class (b, a) of every anchor's object; the first object's, or class 0, where it has none."""
    place = owner.clamp_min(0)
    return boxes.gather(1, place[..., None].expand(-1, -1, 4)), labels.gather(1, place).clamp_min(0)


@torch.no_grad()
def by_object(costs: Tensor, owner: Tensor, labels: Tensor) -> Tensor:
    """Costs (b, a) -> one row (r, a) for each of the r real objects of the batch, infinite for other anchors."""
    image, place = (labels >= 0).nonzero(as_tuple=True)
    return costs[image].masked_fill(owner[image] != place[:, None], torch.inf)


@torch.no_grad()
def positives(costs: Tensor, levels: Tensor) -> Tensor:
    """Positive anchors of each object: (r, a) bool.

    Parameters
    ----------
    costs
        (r, a), infinite where an anchor is no candidate.
    levels
        (a,) level of every anchor.
    """
    places = []
    for level in levels.unique().tolist():
        inside = (levels == level).nonzero().flatten()
        cheapest = costs[:, inside].topk(min(PER_LEVEL, len(inside)), 1, largest=False).indices
        places.append(inside[cheapest])
    chosen = torch.cat(places, 1)  # (r, m)
    values, order = costs.gather(1, chosen).sort(1)
    kept = cheap_side(values)
    return torch.zeros_like(costs, dtype=torch.bool).scatter_(1, chosen.gather(1, order), kept)


def cheap_side(values: Tensor) -> Tensor:
    """Positive ones among ascending costs (r, m): (r, m) bool.

    Members of the Gaussian of low costs up to its highest density; all where there is a single cost.
    """
    finite = values.isfinite()
    fit = two_gaussians(values)
    cheap = (fit.component == 0) & finite
    peak = fit.density.masked_fill(~cheap, -torch.inf).argmax(1, keepdim=True)
    place = torch.arange(values.shape[1], device=values.device)
    return torch.where(finite.sum(1, keepdim=True) < 2, finite, cheap & (place <= peak))


@torch.no_grad()
def two_gaussians(costs: Tensor, rounds: int = 100, tolerance: float = 1e-3, least: float = 1e-6) -> Mixture:
    """Expectation maximisation on every row of costs (r, m), whose infinite entries are absent.

    As scikit-learn's `GaussianMixture`, started at the smallest and largest cost with equal weights and variance 1:
    a row is finished when its mean log-likelihood changes by less than the tolerance. Variances are at least `least`.
    The fit of a row with fewer than two costs is meaningless.
    """
    finite = costs.isfinite()
    x = torch.where(finite, costs, 0.0).double()
    here = finite.double()
    count = here.sum(1, keepdim=True).clamp_min(1)
    ends = [x.masked_fill(~finite, torch.inf).amin(1), x.masked_fill(~finite, -torch.inf).amax(1)]
    means = torch.stack(ends, 1).nan_to_num(posinf=0.0, neginf=0.0)
    variances, weights = torch.ones_like(means), torch.full_like(means, 0.5)
    moving = torch.ones(len(x), 1, dtype=torch.bool, device=x.device)
    before = torch.full((len(x), 1), -torch.inf, dtype=x.dtype, device=x.device)
    for _ in range(rounds):
        joint = _joint(x, means, variances, weights)  # (r, m, 2)
        density = joint.logsumexp(2)
        responsibility = (joint - density[..., None]).exp() * here[..., None]
        mass = responsibility.sum(1) + 10 * torch.finfo(x.dtype).eps
        new_means = (responsibility * x[..., None]).sum(1) / mass
        squares = (responsibility * x[..., None].square()).sum(1) / mass
        means = torch.where(moving, new_means, means)
        variances = torch.where(moving, squares - new_means.square() + least, variances)
        weights = torch.where(moving, mass / count, weights)
        likelihood = (density * here).sum(1, keepdim=True) / count
        moving = moving & ((likelihood - before).abs() >= tolerance)
        before = likelihood
        if not moving.any():
            break
    joint = _joint(x, means, variances, weights)
    density = joint.logsumexp(2).masked_fill(~finite, -torch.inf)
    return Mixture(means, variances, joint.argmax(2), density)


def _joint(x: Tensor, means: Tensor, variances: Tensor, weights: Tensor) -> Tensor:
    """Logarithm (r, m, 2) of each component's weight times its density."""
    distance = (x[..., None] - means[:, None]).square() / variances[:, None]
    return weights.log()[:, None] - 0.5 * (distance + (2 * torch.pi * variances).log()[:, None])
