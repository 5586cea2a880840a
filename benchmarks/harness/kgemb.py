"""KGEmb's RotH, restated: loss and ranks computed as in the reference code of Chami et al. 2020.

Its cost is kept: a corruption is a triple of its own, so the query point is computed again for each of the fifty; the
distance uses artanh in float64; gradients of tables are dense; the filter of a ranking is applied row by row.
`tests/benchmarks` shows loss, gradients and ranks equal to ours. Our curvature has a floor, which is added here too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kge_data.filters import KnownAnswers
from mulde.geometry.poincare import margin
from mulde.kge.model.config import CURVATURE_FLOOR
from mulde.kge.model.kge_model import KGEModel

TINY = 1e-15


class RotH(nn.Module):
    """KGEmb's model with the parameters of one of ours; triples (n, 3) have internal relation ids."""

    def __init__(self, model: KGEModel):
        super().__init__()
        relation = model.relation
        translations = torch.cat([relation["before"], relation["after"]], 1)
        tables = {
            "entity": model.entity, "translations": translations, "rotation": relation["rotation"],
            "curvature": model.raw_curvature.unsqueeze(1),
            "head_bias": model.head_bias.unsqueeze(1), "tail_bias": model.tail_bias.unsqueeze(1),
        }  # fmt: skip
        for name, table in tables.items():
            setattr(self, name, nn.Embedding.from_pretrained(table.detach().clone(), freeze=False))

    def query(self, triples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query points (n, d), curvatures (n, 1) and biases (n, 1)."""
        heads, relations = triples[:, 0], triples[:, 1]
        c = functional.softplus(self.curvature(relations)) + CURVATURE_FLOOR
        before, after = (_expmap0(part, c) for part in self.translations(relations).chunk(2, 1))
        moved = _project(_add(_expmap0(self.entity(heads), c), before, c), c)
        pairs = self.rotation(relations).view(len(triples), -1, 2)
        pairs = pairs / pairs.norm(dim=-1, keepdim=True).clamp_min(TINY)
        x = moved.view(len(triples), -1, 2)
        turned = pairs[..., :1] * x + pairs[..., 1:] * torch.stack([-x[..., 1], x[..., 0]], -1)
        return _add(turned.flatten(1), after, c), c, self.head_bias(heads)

    def forward(self, triples: Tensor) -> Tensor:
        """Scores (n, 1) of triples."""
        points, c, bias = self.query(triples)
        vectors = self.entity(triples[:, 2])
        norm = vectors.norm(dim=-1, keepdim=True)
        along = (points * vectors / norm).sum(-1, keepdim=True)
        return bias + self.tail_bias(triples[:, 2]) - _distance(points, along, norm, c) ** 2

    def loss(self, triples: Tensor, corrupted: Tensor) -> Tensor:
        """Binary loss of true triples (b, 3) and of their corruptions (b·n, 3), the mean over all."""
        true, false = functional.logsigmoid(self(triples)), functional.logsigmoid(-self(corrupted))
        return -torch.cat([true, false]).mean()

    @torch.no_grad()
    def ranks(self, triples: Tensor, known: KnownAnswers, batch_size: int = 500) -> Tensor:
        """Filtered ranks (n,) of the tails: one plus the number of others with at least the same score."""
        parts = []
        for rows in triples.split(batch_size):
            points, c, bias = self.query(rows)
            norm = self.entity.weight.norm(dim=-1, keepdim=True).T
            along = points @ self.entity.weight.T / norm
            scores = bias + self.tail_bias.weight.T - _distance(points, along, norm, c) ** 2
            target = self(rows)
            for row, (head, relation, tail) in zip(scores, rows.tolist(), strict=True):
                row[torch.tensor([*known.answers(head, relation).tolist(), tail])] = -1e6
            parts.append(1 + (scores >= target).float().sum(1))
        return torch.cat(parts)


def corrupt(triples: Tensor, negatives: Tensor) -> Tensor:
    """The triples (b, 3) repeated with corrupted tails (b, n): (b·n, 3)."""
    corrupted = triples.repeat(negatives.shape[1], 1)
    corrupted[:, 2] = negatives.T.flatten()
    return corrupted


def _expmap0(tangent: Tensor, c: Tensor) -> Tensor:
    scaled = c.sqrt() * tangent.norm(dim=-1, keepdim=True).clamp_min(TINY)
    return _project(scaled.clamp(-15, 15).tanh() * tangent / scaled, c)


def _project(point: Tensor, c: Tensor) -> Tensor:
    norm = point.norm(dim=-1, keepdim=True).clamp_min(TINY)
    limit = (1 - margin(point.dtype)) / c.sqrt()
    return torch.where(norm > limit, point / norm * limit, point)


def _add(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    xx, yy, xy = ((a * b).sum(-1, keepdim=True) for a, b in ((x, x), (y, y), (x, y)))
    total = (1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y
    return total / (1 + 2 * c * xy + c**2 * xx * yy).clamp_min(TINY)


def _distance(points: Tensor, along: Tensor, norm: Tensor, c: Tensor) -> Tensor:
    """Distances (n, 1) or (n, e) from points x (n, d) to tails, given by their norms and the products <x, t>/|t|."""
    root = c.sqrt()
    length = (root * norm).clamp(-15, 15).tanh() / root
    xx = (points * points).sum(-1, keepdim=True)
    first = 1 - 2 * c * length * along + c * length**2
    second = 1 - c * xx
    squared = first**2 * xx + second**2 * length**2 - 2 * first * second * length * along
    bottom = 1 - 2 * c * length * along + c**2 * length**2 * xx
    return 2 * _Artanh.apply(root * squared.sqrt() / bottom.clamp_min(TINY)) / root


class _Artanh(torch.autograd.Function):
    """artanh, clipped at 1 - 1e-5 and computed in float64."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clamp(-1 + 1e-5, 1 - 1e-5)
        ctx.save_for_backward(x)
        wide = x.double()
        return ((1 + wide).log() - (1 - wide).log()).mul(0.5).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient / (1 - x**2)
