"""A method file with a leak: corruptions are filtered by the triples of all splits, as in the code of HyboNet.

Valid and test triples are then never used as negatives, which tells the model which unseen pairs are true. For
``benchmarks/quality/lorentz.py`` only, to measure what the leak is worth.

Source: chenweize1998/fully-hyperbolic-nn, whose option ``real_neg`` filters so on WN18RR.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kge_data.tripleset import TripleSet
from mulde.engine import Clock, Method, Needs, Role
from mulde.kge.evaluation.link_prediction import known_answers
from mulde.kge.feeds import QueryBatch
from mulde.kge.losses import hard_loss
from mulde.kge.options import Distillation

DRAWS = 4


NEEDS = Needs("graph", {"student": Role("scores")})


class Leaking(Method):
    """Binary loss with corruptions that are true in no split."""

    def __init__(self, model: Any, graph: TripleSet):
        super().__init__()
        self.model, self.known, self.entities = model, known_answers(graph), graph.num_entities

    def learners(self) -> dict[str, Any]:
        return {"model": self.model.parameters()}

    def losses(self, batch: QueryBatch, clock: Clock) -> dict[str, Tensor]:
        negatives = batch.negatives
        for _ in range(DRAWS):
            true = self._true(batch, negatives)
            negatives = torch.where(true, torch.randint_like(negatives, self.entities), negatives)
        return {"model/hard": hard_loss(self.model, replace(batch, negatives=negatives))}

    def _true(self, batch: QueryBatch, negatives: Tensor) -> Tensor:
        shape = negatives.shape
        queries = (ids.unsqueeze(1).expand(shape).flatten().numpy() for ids in (batch.heads, batch.relations))
        return torch.from_numpy(self.known.contains(*queries, negatives.flatten().numpy())).view(shape)

    def predict(self, batch: QueryBatch) -> Tensor:
        return self.model.score_all(batch.heads, batch.relations)

    def exported(self) -> dict[str, Any]:
        return {"student": self.model}


def build(config: Distillation, data: TripleSet, networks: dict[str, Any]) -> Leaking:
    return Leaking(networks["student"], data)
