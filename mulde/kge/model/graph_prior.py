"""Graph prior: a weight per relation for candidates that answer the relation already in the training graph.

    answer(h, r, t) = score(h, r, t) + w_r · [some other (x, r, t) is in train]

Whether such candidates are likelier or less likely depends on the relation. A synset has one hypernym, so an entity
that has one already rarely answers (?, hypernym, t): w is about -6 on WN18RR. The topic of some synsets is likely the
topic of another: w is about +3.6. This is the local closed-world assumption (Dong et al. 2014, "Knowledge Vault": what
is known of (x, r, ?) is all that holds), as far as it holds, learned for each relation and direction; the formula is
ours. Embeddings trained to reproduce the graph cannot express it, because they score the known answers highest.

The weights are fitted on the validation split after training, see ``mulde/kge/evaluation/graph_prior_fit.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mulde.kge.model.prior_index import PriorIndex


class GraphPrior(nn.Module):
    """Weights of internal relations and an index of the training triples.

    Parameters
    ----------
    weights
        (2r,) by internal relation id.
    triples
        (n, 3) int64 training triples with user relation ids, or their index.
    of_sizes
        (k, 2r) weights of the model's smaller sizes, in the order of its ``dims``; None for a model of one size.
    """

    weights: Tensor
    of_sizes: Tensor | None

    def __init__(self, weights: Tensor, triples: NDArray[np.int64] | PriorIndex, of_sizes: Tensor | None = None):
        super().__init__()
        self.register_buffer("weights", weights)
        self.register_buffer("of_sizes", of_sizes)
        self.index = triples if isinstance(triples, PriorIndex) else PriorIndex(triples, len(weights))

    def of_size(self, number: int) -> GraphPrior | None:
        """The prior of a smaller size, by its number in the model's ``dims``; None where it has none."""
        if self.of_sizes is None or not self.of_sizes[number].any():
            return None
        smaller = self.of_sizes[:number].clone() if number else None
        return GraphPrior(self.of_sizes[number].clone(), self.index, smaller)

    def added(
        self, heads: Tensor, relations: Tensor, blocks: Iterable[tuple[Tensor, Tensor]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks (rows, scores (len(rows), e)) of queries (b,), with the weights added in place."""
        for rows, scores in blocks:
            own = rows.cpu()
            self.add_(scores, heads.cpu()[own], relations.cpu()[own])
            yield rows, scores

    def add_(self, scores: Tensor, heads: Tensor, relations: Tensor, place: Tensor | None = None) -> None:
        """Add the weights to scores (b, e) in place; ``place`` (e,): the column of each entity, if not its id."""
        numbers, weights = relations.cpu().numpy(), self.weights.tolist()
        row, tail = map(torch.from_numpy, self.index.known.gather(heads.cpu().numpy(), numbers))
        unique = self.of(heads.cpu()[row], relations.cpu()[row], tail) == 0  # answers of no other head
        row, tail = row[unique], tail[unique]
        if place is not None:
            tail = place[tail]
        before = scores[row, tail]
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))  # of consecutive queries with the same relation
        for start, end in itertools.pairwise([*starts.tolist(), len(numbers)]):
            if weight := weights[numbers[start]]:
                answering = torch.from_numpy(self.index.answering(numbers[start])).to(scores.device)
                gains = scores.new_zeros(scores.shape[1])
                gains[answering if place is None else place[answering]] = weight
                scores[start:end] += gains
        scores[row, tail] = before

    def of(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """What is added to the score of each triple (n,), internal relation ids; on the CPU."""
        another = self.index.answers_another(heads.numpy(), relations.numpy(), tails.numpy())
        return self.weights.cpu()[relations] * torch.from_numpy(another)


@dataclass(frozen=True)
class PriorOfQueries:
    """The graph prior's contribution to the scores of a batch of queries (b,), for rank counting (``ranking.py``)."""

    prior: GraphPrior
    heads: Tensor
    relations: Tensor

    def sorted_by(self, first: Tensor) -> Tensor:
        """Keys (b,) that sort the queries by ``first`` (b,) and then by relation, so that equal relations adjoin."""
        return first * len(self.prior.weights) + self.relations

    def most(self, rows: Tensor) -> Tensor:
        """The largest contribution to any candidate of these queries, (n,)."""
        return self.prior.weights[self.relations[rows]].clamp_min(0)

    def of(self, rows: Tensor, ids: Tensor) -> Tensor:
        """The contribution to the score of entity ids[i] for the query rows[i], (n,)."""
        return self.prior.of(self.heads[rows], self.relations[rows], ids)

    def add_(self, scores: Tensor, rows: Tensor, place: Tensor) -> None:
        """Add the contributions to scores (n, e) of these queries; ``place`` (e,): the column of each entity."""
        self.prior.add_(scores, self.heads[rows], self.relations[rows], place)
