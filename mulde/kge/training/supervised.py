"""Pre-training: a scorer learns from hard labels alone. Makes a teacher, and is the Junior without distillation.

    triples ──hard labels──▶ model

Sources: the stand-alone loss of MulDE's review-time code and of KGEmb (Chami et al. 2020, section 4.5): binary cross
entropy of the true tail and n uniform corruptions. Or, for batches of distinct queries, 1vsAll: cross entropy over all
entities, with the N3 regulariser (Lacroix et al. 2018) and, for ComplEx, relation prediction (Chen et al. 2021).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mulde.engine import Clock, Method
from mulde.kge.feeds import AnswerBatch, QueryBatch
from mulde.kge.losses import hard_loss, n3, one_vs_all_loss, relation_loss
from mulde.kge.model.config import HardLoss, MatmulPrecision
from mulde.kge.model.kge_model import KGEModel


class Pretrain(Method):
    """One learner, ``model``, with the term ``model/hard`` and those that have a weight: ``n3`` and ``relation``."""

    def __init__(
        self,
        model: KGEModel,
        loss: HardLoss = "binary",
        n3_weight: float = 0.0,
        relation_weight: float = 0.0,
        matmul_precision: MatmulPrecision = "float32",
    ):
        """``loss`` is that of batches with corruptions; what follows belongs to those without."""
        super().__init__()
        self.model, self.loss, self.matmul_precision = model, loss, matmul_precision
        self.n3_weight, self.relation_weight = n3_weight, relation_weight

    def learners(self) -> dict[str, Any]:
        return {"model": self.model.parameters()}

    def losses(self, batch: QueryBatch | AnswerBatch, clock: Clock) -> dict[str, Tensor]:
        if isinstance(batch, QueryBatch):
            return {"model/hard": hard_loss(self.model, batch, self.loss)}
        terms = {"model/hard": one_vs_all_loss(self.model, batch, self.matmul_precision)}
        if self.n3_weight:
            terms["model/n3"] = self.n3_weight * n3(self.model, batch)
        if self.relation_weight:
            terms["model/relation"] = self.relation_weight * relation_loss(self.model, batch)
        return terms

    def predict(self, batch: QueryBatch | AnswerBatch) -> Tensor:
        """Scores (b, e) of all tails."""
        return self.model.score_all(batch.heads, batch.relations)
