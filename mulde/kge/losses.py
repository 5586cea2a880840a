"""Losses of a model on a batch of triples: hard labels, relation prediction and the N3 regulariser."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from mulde.errors import UsageError
from mulde.kge.feeds import AnswerBatch, QueryBatch
from mulde.kge.model.config import HardLoss, MatmulPrecision
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.model.softmax_loss import Labels, full_cross_entropy
from mulde.kge.scorers.complex import ComplEx
from mulde.losses.hard_labels import binary_first_true, cross_entropy_first_true


def hard_loss(model: KGEModel, batch: QueryBatch, loss: HardLoss = "binary", margin: float = 0.0) -> Tensor:
    """Loss of the true tail against the batch's corruptions; ``binary`` is that of KGEmb and MulDE.

    Parameters
    ----------
    margin
        Added to every score. Without effect on the loss ``cross-entropy``.

    Raises
    ------
    UsageError
        For ``1vsall``, which has no corruptions (`one_vs_all_loss`), and unknown losses.
    """
    if loss not in ("binary", "cross-entropy"):
        raise UsageError(
            f"loss of a batch with corruptions should be binary or cross-entropy; got {loss!r}; 1vsall compares with "
            "all entities"
        )
    if batch.negative_heads is None:
        scores = model.score(batch.heads, batch.relations, torch.cat([batch.tails.unsqueeze(1), batch.negatives], 1))
    else:
        true = model.score(batch.heads, batch.relations, batch.tails)
        relations = batch.relations.repeat_interleave(batch.negatives.shape[1])
        false = model.score(batch.negative_heads.flatten(), relations, batch.negatives.flatten())
        scores = torch.cat([true.unsqueeze(1), false.view_as(batch.negatives)], 1)
    return binary_first_true(scores + margin) if loss == "binary" else cross_entropy_first_true(scores)


def refuse_many_curvatures(model: KGEModel) -> None:
    """Raise UsageError for a model with a curvature per relation, which rules out losses over all entities."""
    if model.scorer.hyperbolic() and model.config.curvature == "per-relation":
        raise UsageError(
            "a loss over all entities needs one curvature for all queries; give --curvature global or fixed"
        )


def one_vs_all_loss(model: KGEModel, batch: AnswerBatch, matmul_precision: MatmulPrecision = "float32") -> Tensor:
    """Cross entropy of every answer over all entities, the mean over the batch's training triples (1vsAll)."""
    weights = model.entity.new_full((len(batch.rows),), 1 / len(batch.rows))
    queries = model.query(batch.heads, batch.relations)
    labels = Labels(batch.rows, batch.answers, weights)
    return full_cross_entropy(queries, model.tails(), labels, matmul_precision=matmul_precision)[0]


def predicts_relations(scorer: type[Scorer]) -> bool:
    """Whether a scorer has the formula of `relation_loss`, as ComplEx and its subclasses do."""
    return hasattr(scorer, "relation_scores")


def relation_loss(model: KGEModel, batch: AnswerBatch) -> Tensor:
    """Cross entropy of each triple's relation over all relations, given head and tail; the mean over the triples.

    Source: Chen et al. 2021, "Relation Prediction as an Auxiliary Training Objective". For scorers with
    `predicts_relations`.
    """
    heads, tails = model.entity[batch.heads[batch.rows]], model.entity[batch.answers]
    scores = cast("type[ComplEx]", model.scorer).relation_scores(heads, tails, model.relation["factor"])
    return functional.cross_entropy(scores, batch.relations[batch.rows])


def n3(model: KGEModel, batch: AnswerBatch) -> Tensor:
    """Σ|x|³ over head, tail and the relation's vectors, the mean over the batch's triples (Lacroix et al. 2018, eq. 7).

    Where a scorer pairs coordinates, |x| is the modulus of a pair. Angles, which have
    no length, and matrices are left out.
    """
    ends = model.entity[torch.cat([batch.heads[batch.rows], batch.answers])]
    relations = batch.relations[batch.rows]
    vectors = [model.relation[name][relations] for name, kind in model.scorer.relation.items() if kind == "vector"]
    total = ends.new_zeros(())
    for part in (ends, *vectors):
        if model.scorer.pairs_coordinates():
            part = part.unflatten(-1, (-1, 2)).square().sum(-1).clamp_min(1e-30).sqrt()
        total = total + part.abs().pow(3).sum()
    return total / len(batch.rows)
