"""The entities that are no candidates in a ranking: known answers, and what the protocol leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kge_data.filters import KnownAnswers
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.candidate_sets import CandidateSets
from mulde.kge.evaluation.protocols import EvaluationProtocol


def in_training(graph: TripleSet, triples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether both entities and the relation of each triple (n, 3) occur in train."""
    heads, relations, tails = triples.T
    entities, known = graph.train[:, [0, 2]], graph.train[:, 1]
    return np.isin(heads, entities) & np.isin(relations, known) & np.isin(tails, entities)


@dataclass(frozen=True)
class LeftOut:
    """The entities that a protocol leaves out of the candidates of queries."""

    known: KnownAnswers
    graph: TripleSet
    protocol: EvaluationProtocol
    candidates: CandidateSets | None = None
    """If given, all other entities are left out, too."""

    def of(self, heads: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
        """Position of a query (b,) and entity, (f,) each, of all entities that are left out, each pair once.

        They may include the target of a query, which is a candidate all the same.
        """
        head, relation = heads.numpy(), relations.numpy()
        row, tail = self.known.gather(head, relation)
        if not self.protocol.query_entity:
            more = np.flatnonzero(~self.known.contains(head, relation, head))
            row, tail = np.append(row, more), np.append(tail, head[more])
        if not self.protocol.unseen:
            unseen, several = np.flatnonzero(self._unseen), len(head)
            others = ~self._unseen[tail]
            row = np.append(row[others], np.arange(several).repeat(len(unseen)))
            tail = np.append(tail[others], np.tile(unseen, several))
        if self.candidates is not None:
            outside = self.candidates.outside(relation, self.graph.num_entities)
            outside[row, tail] = True
            row, tail = np.nonzero(outside)
        return torch.from_numpy(row), torch.from_numpy(tail)

    @cached_property
    def _unseen(self) -> NDArray[np.bool_]:
        """Whether each entity (e,) occurs in no training triple."""
        found = np.ones(self.graph.num_entities, dtype=bool)
        found[self.graph.train[:, [0, 2]]] = False
        return found
