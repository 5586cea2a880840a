"""Offline distillation: an ensemble answers every training query once, and a Junior learns from what was written down.

    triples ──hard labels──▶ Junior ◀──order of all other entities── written answers ◀── teachers, asked once

    L = CE(answers of the data; all entities) + γ CE(ensemble's K most probable others / T; all but the answers)

Ours. MulDE's Junior asks its teachers at every step; here they need not even be in memory, so that they may be large,
and a step costs little more than one without teachers. Two choices make the difference to plain distillation. The soft
labels speak of the entities that are *not* answers in the training triples, as in not-true distillation (Lee et al.
2022): teachers know those answers by heart, and a test filters them out. And hard labels are cross entropy over all
entities on distinct queries, see `answer_feed.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mulde.engine import Clock, Method
from mulde.kge.feeds import AnswerBatch
from mulde.kge.losses import n3
from mulde.kge.model.config import MatmulPrecision
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.softmax_loss import Labels, full_cross_entropy
from mulde.kge.teachers.cached_predictions import CachedPredictions


@dataclass(frozen=True, kw_only=True)
class OfflineConfig:
    """How a Junior learns from written answers."""

    soft_weight: float = 1.0
    """Weight of the soft loss (γ); both losses are means over the training triples."""
    temperature: float = 1.0
    """Softens the ensemble's probabilities (T)."""
    n3: float = 0.0
    """Weight of the N3 regulariser."""
    matmul_precision: MatmulPrecision = "float32"
    """What goes into the matrix products, see `full_cross_entropy`."""


class Offline(Method):
    """One learner, ``junior``: the term ``junior/hard`` and, with a weight, ``junior/soft`` and ``junior/n3``.

    Hard and soft loss come from one pass, which differentiates their sum; the first of them carries that gradient.
    """

    def __init__(self, junior: KGEModel, answers: CachedPredictions, config: OfflineConfig):
        super().__init__()
        self.junior, self.answers, self.config = junior, answers, config

    def learners(self) -> dict[str, Any]:
        return {"junior": self.junior.parameters()}

    def losses(self, batch: AnswerBatch, clock: Clock) -> dict[str, Tensor]:
        each = self.junior.entity.new_full((len(batch.rows),), 1 / len(batch.rows))
        labels, left_out = [Labels(batch.rows, batch.answers, each)], None
        if self.config.soft_weight:
            labels.append(self._soft_labels(batch))
            left_out = batch.rows, batch.answers
        queries, tails = self.junior.query(batch.heads, batch.relations), self.junior.tails()
        total, losses = full_cross_entropy(
            queries, tails, *labels, left_out=left_out, matmul_precision=self.config.matmul_precision
        )
        terms = {"junior/hard": total - losses[1:].sum()}
        if self.config.soft_weight:
            terms["junior/soft"] = losses[1]
        if self.config.n3:
            terms["junior/n3"] = self.config.n3 * n3(self.junior, batch)
        return terms

    def _soft_labels(self, batch: AnswerBatch) -> Labels:
        """The ensemble's others; a query weighs as much as it has answers, as in the hard loss."""
        ids, probabilities = self.answers.labels(batch.index, self.config.temperature)
        counts = torch.bincount(batch.rows, minlength=len(batch.heads)).to(probabilities.dtype)
        weights = probabilities * (self.config.soft_weight * counts / len(batch.rows)).unsqueeze(1)
        rows = torch.arange(len(ids), device=ids.device).repeat_interleave(ids.shape[1])
        weights = weights.to(self.junior.entity.dtype).flatten()
        return Labels(rows, ids.flatten(), weights, others=True)

    def predict(self, batch: AnswerBatch) -> Tensor:
        """The Junior's scores (b, e) of all tails."""
        return self.junior.score_all(batch.heads, batch.relations)
