"""Supervised: training on hard labels, without distillation; for teachers and baselines.

    triples ──hard labels──▶ model

    L = L_hard(model; true tail, random corruptions)   or   CE(answers; all entities) + λ N3 + μ CE(relation; all)

Sources: the loss of MulDE's review-time code and of KGEmb (Chami et al. 2020, section 4.5), binary cross entropy of the
true tail and n uniform corruptions. For batches of distinct queries 1vsAll: cross entropy over all entities, with the
N3 regulariser (Lacroix et al. 2018) and, for ComplEx, relation prediction (Chen et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from kge_data.tripleset import TripleSet
from mulde.config import NonNegative, convert
from mulde.engine import Clock, Method, Needs, Role, Setup
from mulde.errors import UsageError
from mulde.kge.feeds import AnswerBatch, QueryBatch, answer_feed, query_feed
from mulde.kge.losses import hard_loss, n3, one_vs_all_loss, predicts_relations, refuse_many_curvatures, relation_loss
from mulde.kge.model.config import HardLoss, MatmulPrecision, ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Training
from mulde.kge.storage.run_folder import scorer_name


@dataclass(frozen=True, kw_only=True)
class Config:
    """Training on hard labels."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)
    loss: HardLoss = "binary"
    """Loss on hard labels: binary cross entropy of each candidate (KGEmb, MulDE), softmax over the candidates, or
    1vsall: softmax over all entities, without corruptions; needs one curvature (--curvature global or fixed)."""
    margin: NonNegative = 0.0
    """Added to every score in the binary loss, 8 in HyboNet. The biases, which are learned, start at zero and take its
    place in KGEmb."""
    n3: NonNegative = 0.0
    """Weight of the N3 regulariser, the mean of the cubed norms of heads, relations and tails; with loss 1vsall."""
    relation_weight: NonNegative = 0.0
    """Weight of the relation-prediction loss; with loss 1vsall and the scorer complex only."""
    matmul_precision: MatmulPrecision = "float32"
    """Precision of the inputs of the matrix products over all entities (loss 1vsall). bfloat16 rounds them on
    processors with matrix units, where it is faster; on others it has no effect."""

    def __post_init__(self) -> None:
        convert(self)
        for name, without in (("n3", 0), ("relation_weight", 0), ("matmul_precision", "float32")):
            if self.loss != "1vsall" and getattr(self, name) != without:
                raise UsageError(
                    f"{name} belongs to the loss 1vsall; got loss {self.loss}; leave {name} at {without}, or "
                    "--loss 1vsall"
                )
        if self.margin and self.loss != "binary":
            raise UsageError(f"margin belongs to the loss binary; got loss {self.loss}; leave margin at 0")


NEEDS = Needs("graph", {"student": Role("scores")})


class Supervised(Method):
    """One learner, ``model``: the term ``model/hard`` and, if weighted, ``model/n3`` and ``model/relation``."""

    def __init__(self, model: KGEModel, config: Config):
        super().__init__()
        self.model, self.config = model, config

    def learners(self) -> dict[str, Any]:
        return {"model": self.model.parameters()}

    def losses(self, batch: QueryBatch | AnswerBatch, clock: Clock) -> dict[str, Tensor]:
        config = self.config
        if isinstance(batch, QueryBatch):
            return {"model/hard": hard_loss(self.model, batch, config.loss, config.margin)}
        terms = {"model/hard": one_vs_all_loss(self.model, batch, config.matmul_precision)}
        if config.n3:
            terms["model/n3"] = config.n3 * n3(self.model, batch)
        if config.relation_weight:
            terms["model/relation"] = config.relation_weight * relation_loss(self.model, batch)
        return terms

    def predict(self, batch: QueryBatch | AnswerBatch) -> Tensor:
        """Scores (b, e) of all tails."""
        return self.model.score_all(batch.heads, batch.relations)

    def exported(self) -> dict[str, nn.Module]:
        """The model."""
        return {"student": self.model}


def build(config: Config, data: TripleSet, networks: Mapping[str, Any]) -> Setup:
    """The method with the feed that its loss needs."""
    model = networks["student"]
    if config.relation_weight and not predicts_relations(model.scorer):
        raise UsageError(
            f"relation_weight needs a scorer that can predict relations, as complex can; got "
            f"{scorer_name(model.scorer)}; leave relation_weight at 0"
        )
    if config.loss != "1vsall":
        return Setup(Supervised(model, config), query_feed(data, config.training))
    refuse_many_curvatures(model)
    return Setup(Supervised(model, config), answer_feed(data, config.training))
