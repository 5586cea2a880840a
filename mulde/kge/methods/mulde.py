"""MulDE: distillation of several teachers, combined by a trainable Senior.

    triples ──hard labels──▶ Junior ──its top K entities──▶ teachers ──scores──▶ Senior ──soft labels──▶ Junior
                                    └────its own scores on them────────────────▶ Senior ◀──hard labels── triples

    L = L_hard(Junior; true tail, random tails) + L_hard(Senior; top K) + γ T² KL(softmax z_S/T ‖ softmax z_J/T)

Source: Wang, Liu, Ma, Sheng, "MulDE", WWW 2021, arXiv 2010.07152. Where the paper is not explicit, the authors'
review-time code decides (preset ``paper``, see ``presets.py``). Preset ``recommended`` differs from that code where it
looks accidental; each difference is a field below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kge_data.tripleset import TripleSet
from mulde.config import Count, NonNegative, Positive, convert
from mulde.engine import Clock, Method, Needs, Role, Setup, frozen
from mulde.engine.clock import step_decay
from mulde.kge.feeds import QueryBatch, query_feed
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import HardLoss, ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.options import Training, refuse_all_entities
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.querying import Querying, is_queried
from mulde.kge.teachers.senior import SMOOTHING, Senior, SeniorRanker
from mulde.kge.teachers.watermark import Watermark
from mulde.losses.hard_labels import binary
from mulde.losses.soft_labels import soft_kl

WATCHED = 500  # queries, at most, whose attention is averaged for the log


@dataclass(frozen=True, kw_only=True)
class Config:
    """Distillation by MulDE."""

    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)
    querying: Querying = field(default_factory=Querying)
    watermark: Watermark = field(default_factory=Watermark)
    soft_weight: NonNegative = 0.5
    """Weight of the soft loss (γ). It depends on the reductions: the hard loss is a mean over entities, the soft loss a
    sum over candidates. MulDE's code: 0.5 on FB15k-237, 0.01 on WN18RR."""
    temperature: Positive = 1.0
    """Temperature of both sides of the soft loss (T)."""
    tau_epochs: Count = 5
    """Epochs after which the temperature τ of the attention grows by a factor e; a larger τ makes the weights of the
    teachers more equal."""
    tau_max: Positive = 1e6
    """Largest τ; the weights of the teachers are practically equal well below it."""
    scaling: bool = True
    """Relation-specific scaling of the teachers."""
    attention: bool = True
    """Contrast attention; without it every teacher has the weight 1/m."""
    attention_gradient: bool = False
    """Propagate the gradient of the attention into the Junior (MulDE's code: yes)."""
    attention_reverse: bool = False
    """Compare a teacher with the Junior by KL(teacher ‖ Junior) instead of KL(Junior ‖ teacher) (MulDE's code: no)."""
    soft_trains_senior: bool = True
    """Train the gates of the Senior on the soft loss, too (MulDE's code: yes)."""
    senior_hard: bool = True
    """Train the Senior on hard labels."""
    mask_known: bool = False
    """Exclude candidates that are answers in other training triples from the hard loss of the Senior; otherwise they
    count as negatives (MulDE's code: no)."""
    loss: HardLoss = "binary"
    """Hard loss of the Junior: binary or cross-entropy; 1vsall is not possible with this method."""

    def __post_init__(self) -> None:
        convert(self)
        refuse_all_entities(self.loss)

    @property
    def trains_senior(self) -> bool:
        """Whether the Senior has gates and a loss that trains them."""
        return self.scaling and (self.senior_hard or self.soft_trains_senior)


FIELD = "knowledge graphs"
NEEDS = Needs("graph", {"student": Role("scores"), "teacher": Role("scores", most=None)})


class MulDE(Method):
    """Two learners, ``junior`` and ``senior``, and a frozen ensemble.

    Parameters
    ----------
    junior
        The student.
    ensemble
        The teachers.
    config
        Options.
    watched
        Heads and relations (2, q) of the queries whose mean attention is logged; None logs nothing.
    """

    watched: Tensor | None

    def __init__(self, junior: KGEModel, ensemble: Ensemble, config: Config, watched: Tensor | None = None):
        super().__init__()
        self.junior, self.ensemble, self.config = junior, frozen(ensemble), config
        self.senior = Senior(
            junior.num_relations,
            len(ensemble),
            scaling=config.scaling,
            attention=config.attention,
            attention_gradient=config.attention_gradient,
            attention_reverse=config.attention_reverse,
        )
        self.senior.requires_grad_(config.trains_senior)
        self.fraction = config.querying.fraction(junior.num_entities)
        self.pattern = config.watermark.pattern(junior.num_entities, junior.num_relations)
        self.tau = step_decay(1.0, torch.e, config.tau_epochs, config.tau_max)
        self.register_buffer("watched", watched, persistent=False)
        self.cross_terms = set()
        if config.trains_senior and config.soft_trains_senior:
            self.cross_terms.add(("junior/soft", "senior"))
        if config.trains_senior and config.attention_gradient:
            self.cross_terms.add(("senior/hard", "junior"))

    def learners(self) -> dict[str, Any]:
        learners: dict[str, Any] = {"junior": self.junior.parameters()}
        return {**learners, "senior": self.senior.parameters()} if self.config.trains_senior else learners

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        config = self.config
        terms = {"junior/hard": hard_loss(self.junior, batch, config.loss)}
        if (config.soft_weight == 0 and not config.trains_senior) or not is_queried(clock, self.fraction):
            return terms
        candidates, own, scores = config.querying.scored(self.junior, self.ensemble, batch)
        blended = self.senior(scores, own, batch.relations, self.tau(clock))
        if config.soft_weight:
            target = blended if config.soft_trains_senior else blended.detach()
            if self.pattern is not None:
                target = self.pattern.marked(target, batch.relations, candidates)
            soft = soft_kl(target, own, config.temperature, SMOOTHING)
            terms["junior/soft"] = config.soft_weight / self.fraction * soft
        if config.senior_hard and config.trains_senior:
            true = candidates == batch.tails.unsqueeze(1)
            others = batch.known_among(candidates, self.junior.num_entities) & ~true if config.mask_known else None
            terms["senior/hard"] = binary(blended, true, others) / self.fraction
        return terms

    @torch.no_grad()
    def attention(self, heads: Tensor, relations: Tensor, clock: Clock) -> Tensor:
        """Attention weights (b, m) of the teachers on these queries (b,) at this moment."""
        candidates = self.junior.top(heads, relations, self.config.querying.top_k)
        own = self.junior.score(heads, relations, candidates)
        scores = self.ensemble.score(heads, relations, candidates).to(own.dtype)
        return self.senior.attend(self.senior.scaled(scores, relations), own, self.tau(clock))

    def diagnostics(self, clock: Clock) -> dict[str, float]:
        """Mean attention weight of each teacher over the watched queries."""
        if not self.config.attention or self.watched is None:
            return {}
        heads, relations = self.watched.unbind(0)
        weights = self.attention(heads, relations, clock).mean(0).tolist()
        return {f"attention/{teacher}": weight for teacher, weight in enumerate(weights)}

    def predict(self, batch: QueryBatch) -> Tensor:
        """Scores (b, e) of all tails by the Junior."""
        return self.junior.score_all(batch.heads, batch.relations)

    def exported(self) -> dict[str, nn.Module]:
        """The Junior, and the Senior where it was trained."""
        senior = {"senior": SeniorRanker(self.senior, self.ensemble)} if self.config.trains_senior else {}
        return {"student": self.junior, **senior}


def build(config: Config, data: TripleSet, networks: Mapping[str, Any]) -> Setup:
    """MulDE with its feed; the attention is logged for evenly spaced training queries."""
    feed = query_feed(data, config.training, known=config.mask_known)
    heads, relations, _ = feed.queries(torch.arange(0, feed.count, -(-feed.count // WATCHED)))
    method = MulDE(networks["student"], networks["teacher"], config, torch.stack([heads, relations]))
    config.querying.prepare(method.junior, method.ensemble, feed)
    return Setup(method, feed)
