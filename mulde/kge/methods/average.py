"""Ordinary knowledge distillation: one teacher, soft labels on the student's top K, no Senior.

    triples ──hard labels──▶ Junior ──its top K──▶ teacher ──soft labels──▶ Junior

Source: Hinton et al. 2015 on the candidates of MulDE, with its smoothing of the labels. This is MulDE with one teacher,
gates fixed at 1 and the Senior's loss off (tested), and the baseline that a second teacher has to beat.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mulde.engine import Clock, Method, frozen
from mulde.kge.feeds import QueryBatch
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import HardLoss
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.senior import SMOOTHING
from mulde.losses.soft_labels import soft_kl


class SingleTeacher(Method):
    """One learner, ``junior``; with several teachers in the ensemble their plain average is the label."""

    def __init__(
        self,
        junior: KGEModel,
        ensemble: Ensemble,
        soft_weight: float = 0.5,
        top: int = 500,
        temperature: float = 1.0,
        loss: HardLoss = "binary",
    ):
        super().__init__()
        self.junior, self.ensemble = junior, frozen(ensemble)
        self.soft_weight, self.top, self.temperature, self.loss = soft_weight, top, temperature, loss

    def learners(self) -> dict[str, Any]:
        return {"junior": self.junior.parameters()}

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        hard = hard_loss(self.junior, batch, self.loss)
        candidates = self.junior.top(batch.heads, batch.relations, self.top)
        own = self.junior.score(batch.heads, batch.relations, candidates)
        label = self.ensemble.score(batch.heads, batch.relations, candidates).mean(0)
        return {
            "junior/hard": hard,
            "junior/soft": self.soft_weight * soft_kl(label.to(own.dtype), own, self.temperature, SMOOTHING),
        }

    def predict(self, batch: QueryBatch) -> Tensor:
        """The Junior's scores (b, e) of all tails."""
        return self.junior.score_all(batch.heads, batch.relations)
