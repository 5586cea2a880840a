"""MulDE: a small Junior asks an ensemble of teachers; a Senior turns their answers into soft labels for it.

    triples ──hard labels──▶ Junior ──its top K entities──▶ teachers ──scores──▶ Senior ──soft labels──▶ Junior
                                    └────its own scores on them────────────────▶ Senior ◀──hard labels── triples

    L = L_hard(Junior; true tail, random tails) + L_hard(Senior; top K) + γ T² KL(softmax z_S/T ‖ softmax z_J/T)

Source: Wang, Liu, Ma, Sheng, "MulDE", WWW 2021, arXiv 2010.07152. Where the text leaves a choice, the authors'
review-time code decides (preset ``paper``, see ``presets.py``); preset ``recommended`` differs from it where that code
does something that looks like an accident, each difference being a field below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mulde.engine import Clock, Method, frozen
from mulde.engine.clock import step_decay
from mulde.kge.feeds import QueryBatch
from mulde.kge.losses import hard_loss
from mulde.kge.model.config import HardLoss
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.teachers.ensemble import Ensemble
from mulde.kge.teachers.senior import SMOOTHING, Senior, SeniorRanker
from mulde.losses.hard_labels import binary
from mulde.losses.soft_labels import soft_kl

LARGE = 10_000  # entities from which the Junior does not ask on every batch unless told to


@dataclass(frozen=True, kw_only=True)
class MulDEConfig:
    """How Junior, Senior and ensemble learn from each other."""

    soft_weight: float = 0.5
    """Weight of the soft loss (γ). Depends on the reductions: the hard loss is a mean over slots, the soft one a sum
    over candidates. Review-time code: 0.5 on FB15k-237, 0.01 on WN18RR."""
    top_k: int = 500
    """Entities on which the Junior asks the ensemble at every step, its own best (K)."""
    teacher_query_fraction: float | None = None
    """Share of the batches on which the Junior asks the ensemble, spread evenly; the others teach it by hard labels alone.
    The losses of those asked on count as many times more, so a smaller share costs variance and saves time in
    proportion. By default all, and a twentieth on graphs of 10,000 entities or more, where a step would be mostly
    asking."""
    temperature: float = 1.0
    """Softens both sides of the soft loss (T)."""
    tau_epochs: int = 5
    """Epochs after which the attention's softness τ grows by a factor e: from the closest teacher to all alike."""
    tau_max: float = 1e6
    """Largest τ; the weights are equal to six digits long before."""
    scaling: bool = True
    """Relation-specific scaling of the teachers."""
    attention: bool = True
    """Contrast attention; off gives every teacher the weight 1/m."""
    attention_gradient: bool = False
    """Let the attention carry gradient into the Junior (review-time code: yes)."""
    attention_reverse: bool = False
    """Compare a teacher with the Junior by KL(teacher ‖ Junior) instead of KL(Junior ‖ teacher) (review-time code: no):
    what the Junior misses of a teacher then counts, not what the teacher misses of the Junior."""
    soft_trains_senior: bool = True
    """Let the soft loss train the Senior's gates too (review-time code: yes)."""
    senior_hard: bool = True
    """Train the Senior on hard labels."""
    mask_known: bool = False
    """Leave candidates that answer the query in another training triple out of the Senior's hard loss, which otherwise
    calls them wrong (review-time code: no)."""
    include_target: bool = False
    """Put the true tail among the candidates where the Junior's top K miss it (review-time code: no)."""
    random_candidates: int = 0
    """Random entities appended to the top K, so that soft labels also say what is unlikely (review-time code: 0)."""
    loss: HardLoss = "binary"
    """Hard loss of the Junior."""

    def __post_init__(self) -> None:
        if self.teacher_query_fraction is not None and not 0 < self.teacher_query_fraction <= 1:
            raise ValueError(
                f"asked is a share of the batches, above 0 and at most 1; got {self.teacher_query_fraction}; 1 asks on all"
            )
        for name, least in (("top_k", 1), ("tau_epochs", 1), ("random_candidates", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; got {getattr(self, name)}")
        for name in ("temperature", "tau_max"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; got {getattr(self, name)}")


class MulDE(Method):
    """Two learners, ``junior`` and ``senior``, and a frozen ensemble."""

    def __init__(self, junior: KGEModel, ensemble: Ensemble, config: MulDEConfig):
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
        self.senior.requires_grad_(self.trains_senior)
        self.teacher_query_fraction = config.teacher_query_fraction or (0.05 if junior.num_entities >= LARGE else 1.0)
        self.tau = step_decay(1.0, torch.e, config.tau_epochs, config.tau_max)
        self.cross_terms = set()
        if self.trains_senior and config.soft_trains_senior:
            self.cross_terms.add(("junior/soft", "senior"))
        if self.trains_senior and config.attention_gradient:
            self.cross_terms.add(("senior/hard", "junior"))

    @property
    def trains_senior(self) -> bool:
        """Whether there are gates to learn and a loss that teaches them."""
        return self.config.scaling and (self.config.senior_hard or self.config.soft_trains_senior)

    def learners(self) -> dict[str, Any]:
        learners: dict[str, Any] = {"junior": self.junior.parameters()}
        return {**learners, "senior": self.senior.parameters()} if self.trains_senior else learners

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        config = self.config
        terms = {"junior/hard": hard_loss(self.junior, batch, config.loss)}
        if (config.soft_weight == 0 and not self.trains_senior) or not self.asks(clock):
            return terms
        candidates = self.ask(batch)
        own = self.junior.score(batch.heads, batch.relations, candidates)
        opinions = self.ensemble.score(batch.heads, batch.relations, candidates)
        blended = self.senior(opinions, own, batch.relations, self.tau(clock))
        if config.soft_weight:
            target = blended if config.soft_trains_senior else blended.detach()
            soft = soft_kl(target, own, config.temperature, SMOOTHING)
            terms["junior/soft"] = config.soft_weight / self.teacher_query_fraction * soft
        if config.senior_hard and self.trains_senior:
            true = candidates == batch.tails.unsqueeze(1)
            others = batch.known_among(candidates, self.junior.num_entities) & ~true if config.mask_known else None
            terms["senior/hard"] = binary(blended, true, others) / self.teacher_query_fraction
        return terms

    def asks(self, clock: Clock) -> bool:
        """Whether the ensemble is asked at this step: at the first, and whenever the share makes up another whole one."""
        now, before = (math.floor(self.teacher_query_fraction * step + 1e-9) for step in (clock.step, clock.step - 1))
        return now > before

    def ask(self, batch: QueryBatch) -> Tensor:
        """The candidates (b, c) of this step: the Junior's top K now, and what the configuration adds."""
        candidates = self.junior.top(batch.heads, batch.relations, self.config.top_k)
        if self.config.include_target:
            present = (candidates == batch.tails.unsqueeze(1)).any(1)
            candidates[:, 0] = torch.where(present, candidates[:, 0], batch.tails)  # in place of the least of them
        if self.config.random_candidates:
            drawn = batch.draw(self.junior.num_entities, self.config.random_candidates)
            candidates = torch.cat([candidates, drawn], 1)
        return candidates

    @torch.no_grad()
    def attention(self, heads: Tensor, relations: Tensor, clock: Clock) -> Tensor:
        """The weights (b, m) that the Senior's attention gives the teachers on these queries at this moment."""
        candidates = self.junior.top(heads, relations, self.config.top_k)
        own = self.junior.score(heads, relations, candidates)
        opinions = self.ensemble.score(heads, relations, candidates).to(own.dtype)
        return self.senior.attend(self.senior.scaled(opinions, relations), own, self.tau(clock))

    def senior_ranker(self) -> SeniorRanker:
        """The Senior as something that ranks all entities: the gated sum of the teachers, without attention."""
        return SeniorRanker(self.senior, self.ensemble)

    def predict(self, batch: QueryBatch) -> Tensor:
        """The Junior's scores (b, e) of all tails."""
        return self.junior.score_all(batch.heads, batch.relations)
