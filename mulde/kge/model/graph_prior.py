"""What the training graph says about a candidate besides its vector: does it answer this relation already?

    answer(h, r, t) = score(h, r, t) + w_r · [some other (x, r, t) is in train]

Whether that speaks for a candidate or against it depends on the relation. A synset has one hypernym: who has one
already is hardly the answer to (?, hypernym, t), w is about -6 on WN18RR. Who is the topic of some synsets is likely
the topic of another: w is about +3.6. So this is the local closed-world assumption (Dong et al. 2014, "Knowledge
Vault": what is known of (x, r, ?) is all that holds) as far as it holds, learned for each relation and direction; the
formula is ours. A vector trained to reproduce the graph cannot say it: it has to score the answers that are there
highest.

The weights are fitted on the validation split when training is over, see ``mulde/kge/evaluation/graph_prior_fit.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals


class GraphPrior(nn.Module):
    """Weights (2r,) of internal relations, and the training triples (n, 3), user ids, that they are about."""

    weights: Tensor

    def __init__(self, weights: Tensor, triples: NDArray[np.int64]):
        super().__init__()
        self.register_buffer("weights", weights)
        self.known = KnownAnswers(with_reciprocals(triples))
        order = np.argsort(self.known.relations, kind="stable")  # (t, r⁻¹, ?) is known: t answers r
        self._answering = self.known.heads[order]
        self._starts = np.searchsorted(self.known.relations[order], np.arange(len(weights) + 1))

    def answering(self, relation: int) -> NDArray[np.int64]:
        """The entities (n,) that answer an internal relation in train, ascending."""
        inverse = relation ^ 1
        return self._answering[self._starts[inverse] : self._starts[inverse + 1]]

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
        asked, weights = relations.cpu().numpy(), self.weights.tolist()
        row, tail = map(torch.from_numpy, self.known.gather(heads.cpu().numpy(), asked))
        unsaid = self.of(heads.cpu()[row], relations.cpu()[row], tail) == 0  # for no other head
        row, tail = row[unsaid], tail[unsaid]
        if place is not None:
            tail = place[tail]
        before = scores[row, tail]
        starts = np.flatnonzero(np.diff(asked, prepend=-1))  # of queries in a row with the same relation
        for start, end in itertools.pairwise([*starts.tolist(), len(asked)]):
            if weight := weights[asked[start]]:
                answering = torch.from_numpy(self.answering(asked[start])).to(scores.device)
                gains = scores.new_zeros(scores.shape[1])
                gains[answering if place is None else place[answering]] = weight
                scores[start:end] += gains
        scores[row, tail] = before

    def of(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """What is added to the score of each triple (n,), internal relation ids; on the CPU."""
        asked = heads.numpy(), relations.numpy(), tails.numpy()
        query = self.known.find(asked[2], asked[1] ^ 1)
        count = np.where(query < 0, 0, self.known.offsets[query + 1] - self.known.offsets[query])
        another = count > 1
        once = np.flatnonzero(count == 1)  # by the head that is asked about?
        another[once] = ~self.known.contains(*(ids[once] for ids in asked))
        return self.weights.cpu()[relations] * torch.from_numpy(another)


@dataclass(frozen=True)
class Facts:
    """A closed world and the queries (b,) that it is asked about, for counting competitors (``screening.py``)."""

    prior: GraphPrior
    heads: Tensor
    relations: Tensor

    def sorted_by(self, first: Tensor) -> Tensor:
        """Keys (b,) that sort the queries by ``first`` and then by relation, so that those of one stand in a row."""
        return first * len(self.prior.weights) + self.relations

    def most(self, rows: Tensor) -> Tensor:
        """The most that any candidate of these queries gains, (n,)."""
        return self.prior.weights[self.relations[rows]].clamp_min(0)

    def of(self, rows: Tensor, ids: Tensor) -> Tensor:
        """What the entity ids[i] gains as an answer to the query rows[i], (n,)."""
        return self.prior.of(self.heads[rows], self.relations[rows], ids)

    def add_(self, scores: Tensor, rows: Tensor, place: Tensor) -> None:
        """Add all of it to scores (n, e) of these queries whose columns are entities by ``place`` (e,)."""
        self.prior.add_(scores, self.heads[rows], self.relations[rows], place)
