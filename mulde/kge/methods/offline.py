"""Offline: distillation from cached predictions of the teachers.

    triples ──hard labels──▶ Junior ◀──order of all other entities── cached predictions ◀── teachers, queried once

    L = CE(answers of the data; all entities) + γ CE(ensemble's K most probable others / T; all but the answers)

Ours. MulDE queries its teachers at every step; here they need not be in memory during training, so they may be large,
and a step costs little more than one without teachers. Two choices differ from plain distillation. The soft labels
cover only entities that are *not* answers in the training triples, as in not-true distillation (Lee et al. 2022):
teachers have memorised those answers, and filtered evaluation removes them. And the hard loss is cross entropy over all
entities on distinct queries (`AnswerFeed`).

Teachers that are slow may be queried for some of the queries (`teacher_queries`). Teachers that were not trained on the
graph may also be queried for queries without a training answer (`extra_queries`); each counts as much as a triple.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kge_data.tripleset import TripleSet
from mulde.config import Count, NonNegative, Positive, Whole, convert
from mulde.engine import Clock, Method, Needs, Role, Session, Setup, Trained
from mulde.kge.feeds import AnswerBatch, AnswerFeed, answer_feed
from mulde.kge.losses import n3, refuse_many_curvatures
from mulde.kge.model.config import MatmulPrecision, ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.softmax_loss import Labels, full_cross_entropy
from mulde.kge.options import Training
from mulde.kge.teachers.cached_predictions import CachedPredictions, cached_predictions
from mulde.kge.teachers.query_choice import plausible_queries, sample


@dataclass(frozen=True, kw_only=True)
class Config:
    """Offline distillation."""

    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)
    top_k: Count = 500
    """Entities per query whose probabilities are cached, the most probable ones (K)."""
    soft_weight: NonNegative = 1.0
    """Weight of the soft loss (γ); both losses are means over the training triples."""
    temperature: Positive = 1.0
    """Temperature of the ensemble's probabilities (T)."""
    n3: NonNegative = 0.0
    """Weight of the N3 regulariser, the mean of the cubed norms of heads, relations and tails."""
    matmul_precision: MatmulPrecision = "float32"
    """Precision of the inputs of the matrix products over all entities. bfloat16 rounds them on processors with matrix
    units, where it is faster; on others it has no effect."""
    teacher_queries: Count | None = None
    """Training queries whose teacher predictions are cached, drawn at random, for slow teachers; the others have hard
    labels only. The soft loss is scaled up accordingly. Default: all."""
    extra_queries: Whole = 0
    """Queries without a training answer that have soft labels only. Their relations fit the other facts of their heads.
    For teachers that were not trained on the graph, such as ULTRA."""
    teacher_cache: Path | None = None
    """Folder of the cached teacher predictions, reused by every Junior; default: a folder in the run folder."""

    def __post_init__(self) -> None:
        convert(self)


NEEDS = Needs("graph", {"student": Role("scores"), "teacher": Role("scores", most=None)})


class Offline(Method):
    """One learner, ``junior``: the term ``junior/hard`` and, with a weight, ``junior/soft`` and ``junior/n3``.

    Hard and soft loss come from one pass, which differentiates their sum; the first of them carries that gradient.
    """

    def __init__(self, junior: KGEModel, predictions: CachedPredictions, config: Config, scale: float = 1.0):
        super().__init__()
        self.junior, self.predictions, self.config, self.scale = junior, predictions, config, scale

    def learners(self) -> dict[str, Any]:
        return {"junior": self.junior.parameters()}

    def losses(self, batch: AnswerBatch, clock: Clock) -> dict[str, Tensor]:
        each = self.junior.entity.new_full((len(batch.rows),), 1 / max(len(batch.rows), 1))
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
        """Probabilities of the ensemble; a query is weighted by its number of answers, as in the hard loss."""
        ids, probabilities = self.predictions.labels(batch.index, self.config.temperature)
        counts = torch.bincount(batch.rows, minlength=len(batch.heads)).clamp_min(1).to(probabilities.dtype)
        weight = self.config.soft_weight * self.scale
        weights = probabilities * (weight * counts / max(len(batch.rows), 1)).unsqueeze(1)
        rows = torch.arange(len(ids), device=ids.device).repeat_interleave(ids.shape[1])
        weights = weights.to(self.junior.entity.dtype).flatten()
        return Labels(rows, ids.flatten(), weights, others=True)

    def predict(self, batch: AnswerBatch) -> Tensor:
        """Scores (b, e) of all tails by the Junior."""
        return self.junior.score_all(batch.heads, batch.relations)

    def exported(self) -> dict[str, nn.Module]:
        """The Junior."""
        return {"student": self.junior}


def build(config: Config, data: TripleSet, networks: Mapping[str, Any]) -> Setup:
    """The method, after querying the teachers or reading their cached predictions, with batches of distinct queries."""
    refuse_many_curvatures(networks["student"])
    seed, extra, numbers = config.training.seed, None, None
    if config.extra_queries:
        extra = plausible_queries(data, config.extra_queries, seed)
    feed = answer_feed(data, config.training, extra)
    known = feed.count - config.extra_queries
    if (chosen := sample(known, config.teacher_queries, seed)) is not None:
        numbers = torch.cat([chosen, torch.arange(known, feed.count)])
    predictions = cached_predictions(
        networks["teacher"], data, config.top_k, config.teacher_cache, feed=feed if extra else None, numbers=numbers
    )
    method = Offline(networks["student"], predictions, config, _scale(feed, numbers))
    return Setup(method, feed)


def _scale(feed: AnswerFeed, numbers: Tensor | None) -> float:
    """What the soft loss is multiplied by, so that its weights sum to the number of triples whatever is queried."""
    counts = feed.offsets.diff().clamp_min(1)
    return len(feed.tails) / int((counts if numbers is None else counts[numbers]).sum())


def run(config: Config, data: TripleSet, session: Session, networks: Mapping[str, Any]) -> Trained:
    """Two stages: cache the teacher predictions in the folder of the session, then train the Junior."""
    if config.teacher_cache is None and session.folder is not None:
        config = replace(config, teacher_cache=session.folder / "teacher_predictions")
    setup = build(config, data, networks)
    session.report(str(setup.method.predictions))
    return Trained(networks["student"], "rank", record=session.fit(setup, config))
