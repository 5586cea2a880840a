"""The hard loss that every method on triples shares: a model's scores of a batch against the labels of the data."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mulde.kge.feeds import QueryBatch
from mulde.losses.hard_labels import binary_first_true, cross_entropy_first_true
from mulde.scorers.model import KGEModel

HardLoss = Literal["binary", "cross-entropy"]


def hard_loss(model: KGEModel, batch: QueryBatch, loss: HardLoss = "binary") -> Tensor:
    """Loss of the true tail against the batch's corruptions; ``binary`` is that of KGEmb and MulDE."""
    if batch.negative_heads is None:
        scores = model.score(batch.heads, batch.relations, torch.cat([batch.tails.unsqueeze(1), batch.negatives], 1))
    else:
        true = model.score(batch.heads, batch.relations, batch.tails)
        relations = batch.relations.repeat_interleave(batch.negatives.shape[1])
        false = model.score(batch.negative_heads.flatten(), relations, batch.negatives.flatten())
        scores = torch.cat([true.unsqueeze(1), false.view_as(batch.negatives)], 1)
    return binary_first_true(scores) if loss == "binary" else cross_entropy_first_true(scores)
