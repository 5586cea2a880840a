"""Pre-training: a scorer learns from hard labels alone. Makes a teacher, and is the Junior without distillation.

    triples ──hard labels──▶ model

Source: the stand-alone loss of MulDE's review-time code and of KGEmb (Chami et al. 2020, section 4.5): binary cross
entropy of the true tail and n uniform corruptions.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mulde.engine import Clock, Method
from mulde.kge.feeds import QueryBatch
from mulde.kge.hard import HardLoss, hard_loss
from mulde.scorers.model import KGEModel


class Pretrain(Method):
    """One learner, ``model``, with one term, ``model/hard``."""

    def __init__(self, model: KGEModel, loss: HardLoss = "binary"):
        super().__init__()
        self.model, self.loss = model, loss

    def learners(self) -> dict[str, Any]:
        return {"model": self.model.parameters()}

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        return {"model/hard": hard_loss(self.model, batch, self.loss)}

    def predict(self, batch: QueryBatch) -> Tensor:
        """Scores (b, e) of all tails."""
        return self.model.score_all(batch.heads, batch.relations)
