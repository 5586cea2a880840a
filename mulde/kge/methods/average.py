"""Average: distillation from one teacher, or from the mean of several teachers' scores.

    triples ──hard labels──▶ Junior ──its top K entities──▶ teachers ──mean of their scores──▶ Junior

    L = L_hard(Junior; true tail, random tails) + γ T² KL(softmax z̄/T ‖ softmax z_J/T),   z̄ = mean over the teachers

Source: Hinton et al. 2015 on the candidates of MulDE, with its smoothing of the labels. Equal to MulDE without scaling
and attention, bit for bit (tested).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from kge_data.tripleset import TripleSet
from mulde.config import NonNegative, Positive, convert
from mulde.engine import Clock, Method, Needs, Role, Setup, frozen
from mulde.kge.feeds import QueryBatch, query_feed
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import HardLoss, ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Training, refuse_all_entities
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.querying import Querying, is_queried
from mulde.kge.teachers.senior import SMOOTHING
from mulde.kge.teachers.watermark import Watermark
from mulde.losses.soft_labels import soft_kl


@dataclass(frozen=True, kw_only=True)
class Config:
    """Distillation from the mean of the teachers."""

    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)
    querying: Querying = field(default_factory=Querying)
    watermark: Watermark = field(default_factory=Watermark)
    soft_weight: NonNegative = 0.5
    """Weight of the soft loss (γ). The hard loss is a mean over entities, the soft loss a sum over candidates."""
    temperature: Positive = 1.0
    """Temperature of both sides of the soft loss (T)."""
    loss: HardLoss = "binary"
    """Hard loss of the Junior: binary or cross-entropy; 1vsall is not possible with this method."""

    def __post_init__(self) -> None:
        convert(self)
        refuse_all_entities(self.loss)


FIELD = "knowledge graphs"
NEEDS = Needs("graph", {"student": Role("scores"), "teacher": Role("scores", most=None)})


class Average(Method):
    """One learner, ``junior``, and a frozen ensemble."""

    def __init__(self, junior: KGEModel, ensemble: Ensemble, config: Config):
        super().__init__()
        self.junior, self.ensemble, self.config = junior, frozen(ensemble), config
        self.fraction = config.querying.fraction(junior.num_entities)
        self.pattern = config.watermark.pattern(junior.num_entities, junior.num_relations)

    def learners(self) -> dict[str, Any]:
        return {"junior": self.junior.parameters()}

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        config = self.config
        terms = {"junior/hard": hard_loss(self.junior, batch, config.loss)}
        if config.soft_weight and is_queried(clock, self.fraction):
            candidates, own, scores = config.querying.scored(self.junior, self.ensemble, batch)
            label = scores.to(own.dtype).mean(0)
            if self.pattern is not None:
                label = self.pattern.marked(label, batch.relations, candidates)
            soft = soft_kl(label, own, config.temperature, SMOOTHING)
            terms["junior/soft"] = config.soft_weight / self.fraction * soft
        return terms

    def predict(self, batch: QueryBatch) -> Tensor:
        """Scores (b, e) of all tails by the Junior."""
        return self.junior.score_all(batch.heads, batch.relations)

    def exported(self) -> dict[str, nn.Module]:
        """The Junior."""
        return {"student": self.junior}


def build(config: Config, data: TripleSet, networks: Mapping[str, Any]) -> Setup:
    """The method with its feed; evaluation is the default one."""
    feed, method = query_feed(data, config.training), Average(networks["student"], networks["teacher"], config)
    config.querying.prepare(method.junior, method.ensemble, feed)
    return Setup(method, feed)
