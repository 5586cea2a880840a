"""Offline: distillation from cached predictions of the teachers.

    triples ──hard labels──▶ Junior ◀──order of all other entities── cached predictions ◀── teachers, queried once

    L = CE(answers of the data; all entities) + γ CE(ensemble's K most probable others / T; all but the answers)
    or, with --loss binary or cross-entropy
    L = L_hard(true tail; random tails) + γ T² CE(ensemble's K most probable others / T; these K)

Ours. MulDE queries its teachers at every step; here they need not be in memory during training, so they may be large,
and a step costs little more than one without teachers. Two choices differ from plain distillation. The soft labels
cover only entities that are *not* answers in the training triples, as in not-true distillation (Lee et al. 2022):
teachers have memorised those answers, and filtered evaluation removes them. And the hard loss is cross entropy over all
entities on distinct queries (`AnswerFeed`).

Teachers that are slow may be queried for some of the queries (`teacher_queries`). Teachers that were not trained on the
graph may also be queried for queries without a training answer (`extra_queries`); each counts as much as a triple.

With random tails, each batch of triples has a batch of cached queries of the same size beside it, drawn at random. This
is for graphs where the loss over all entities is the worse one for a small model, such as WN18RR.
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
from mulde.errors import UsageError
from mulde.kge.feeds import AnswerBatch, AnswerFeed, QueryBatch, answer_feed, query_feed
from mulde.kge.losses import hard_loss, n3, refuse_many_curvatures
from mulde.kge.model.config import HardLoss, MatmulPrecision, ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.softmax_loss import Labels, full_cross_entropy
from mulde.kge.options import Training
from mulde.kge.teachers.cached_predictions import CachedPredictions, cached_predictions
from mulde.kge.teachers.query_choice import plausible_queries, sample
from mulde.kge.teachers.watermark import Watermark

CHOICE = 0
"""Seed of the choice of queries: the same for Juniors of every seed, so that they share the cached predictions."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Offline distillation."""

    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)
    watermark: Watermark = field(default_factory=Watermark)
    loss: HardLoss = "1vsall"
    """Loss on hard labels: 1vsall, cross entropy over all entities, which needs one curvature (--curvature global or
    fixed); or with random corruptions binary or cross-entropy."""
    top_k: Count = 500
    """Entities per query whose probabilities are cached, the most probable ones (K)."""
    soft_weight: NonNegative = 1.0
    """Weight of the soft loss (γ). With loss 1vsall, both losses are means over the training triples. Otherwise the
    hard loss is a mean over entities, the soft loss a sum over them."""
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
        if self.n3 and self.loss != "1vsall":
            raise UsageError(f"n3 belongs to the loss 1vsall; got loss {self.loss}; leave n3 at 0, or --loss 1vsall")


FIELD = "knowledge graphs"
NEEDS = Needs("graph", {"student": Role("scores"), "teacher": Role("scores", most=None)})


class Offline(Method):
    """One learner, ``junior``: the term ``junior/hard`` and, with a weight, ``junior/soft`` and ``junior/n3``.

    Hard and soft loss come from one pass, which differentiates their sum; the first of them carries that gradient.
    """

    def __init__(self, junior: KGEModel, predictions: CachedPredictions, config: Config, scale: float = 1.0):
        super().__init__()
        self.junior, self.predictions, self.config, self.scale = junior, predictions, config, scale
        self.pattern = config.watermark.pattern(junior.num_entities, junior.num_relations)

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
        ids, probabilities = labels_of(self, batch.index, batch.relations)
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


class Sampled(Method):
    """The same with random corruptions. One learner, ``junior``; no teacher is in memory.

    Parameters
    ----------
    junior
        The student.
    queries
        The queries of the predictions, by their numbers.
    numbers
        (q,) numbers of the queries that are cached.
    predictions
        Their labels.
    config
        Options.
    """

    heads: Tensor
    relations: Tensor
    numbers: Tensor

    def __init__(
        self, junior: KGEModel, queries: AnswerFeed, numbers: Tensor, predictions: CachedPredictions, config: Config
    ):
        super().__init__()
        self.junior, self.predictions, self.config = junior, predictions, config
        self.pattern = config.watermark.pattern(junior.num_entities, junior.num_relations)
        self.register_buffer("numbers", numbers, persistent=False)
        self.register_buffer("heads", queries.heads[numbers], persistent=False)
        self.register_buffer("relations", queries.relations[numbers], persistent=False)

    def learners(self) -> dict[str, Any]:
        return {"junior": self.junior.parameters()}

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        terms = {"junior/hard": hard_loss(self.junior, batch, self.config.loss)}
        if self.config.soft_weight:
            drawn = batch.draw(len(self.numbers), 1).squeeze(1)
            terms["junior/soft"] = self.config.soft_weight * self._soft(drawn)
        return terms

    def _soft(self, drawn: Tensor) -> Tensor:
        """Cross entropy of the Junior's scores with the ensemble's probabilities, over its K most probable others."""
        temperature = self.config.temperature
        relations = self.relations[drawn]
        ids, labels = labels_of(self, self.numbers[drawn], relations)
        scores = self.junior.score(self.heads[drawn], relations, ids)
        return -(temperature**2) * (labels.to(scores.dtype) * (scores / temperature).log_softmax(1)).sum(1).mean()

    def predict(self, batch: QueryBatch) -> Tensor:
        """Scores (b, e) of all tails by the Junior."""
        return self.junior.score_all(batch.heads, batch.relations)

    def exported(self) -> dict[str, nn.Module]:
        """The Junior."""
        return {"student": self.junior}


def labels_of(method: Offline | Sampled, index: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
    """Entities (b, K) and their probabilities (b, K) for queries, with the watermark if there is a key."""
    pattern = method.pattern
    if pattern is None:
        return method.predictions.labels(index, method.config.temperature)
    ids, probabilities = method.predictions.labels(index)
    marked = pattern.marked(probabilities.log(), relations, ids)
    return ids, (marked / method.config.temperature).softmax(1).nan_to_num(0)


def build(config: Config, data: TripleSet, networks: Mapping[str, Any]) -> Setup:
    """The method with its batches, after querying the teachers or reading their cached predictions."""
    student = networks["student"]
    if config.loss == "1vsall":
        refuse_many_curvatures(student)
    extra = plausible_queries(data, config.extra_queries, CHOICE) if config.extra_queries else None
    feed, numbers = answer_feed(data, config.training, extra), None
    known = feed.count - config.extra_queries
    if (chosen := sample(known, config.teacher_queries, CHOICE)) is not None:
        numbers = torch.cat([chosen, torch.arange(known, feed.count)])
    predictions = cached_predictions(
        networks["teacher"], data, config.top_k, config.teacher_cache, feed=feed if extra else None, numbers=numbers
    )
    if config.loss == "1vsall":
        return Setup(Offline(student, predictions, config, _scale(feed, numbers)), feed)
    cached = torch.arange(feed.count) if numbers is None else numbers
    return Setup(Sampled(student, feed, cached, predictions, config), query_feed(data, config.training))


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
