"""What the training graph says about a candidate besides its vector: does it answer this relation already?

    answer(h, r, t) = score(h, r, t) + w_r · [some other (x, r, t) is in train]

Whether that speaks for a candidate or against it depends on the relation. A synset has one hypernym: who has one
already is hardly the answer to (?, hypernym, t), w is -7. Who is the topic of some synsets is likely the topic of
another: w is +2. So this is the local closed-world assumption (Dong et al. 2014, Knowledge Vault, section 5: what is
known of (x, r, ?) is all that holds) as far as it holds, learned for each relation and direction. A vector trained to
reproduce the graph cannot say it: it has to score the answers that are there highest.

The weights are fitted on the validation split when training is over, see ``mulde/kge/assumption.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kge_data.filters import KnownAnswers
from kge_data.inverse import with_reciprocals


class ClosedWorld(nn.Module):
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
        weights = self.weights.tolist()
        for rows, scores in blocks:
            own_heads, own_relations = heads[rows].cpu().numpy(), relations[rows].cpu().numpy()
            for own, relation in zip(scores, own_relations.tolist(), strict=True):
                if weight := weights[relation]:
                    own[torch.from_numpy(self.answering(relation)).to(own.device)] += weight
            row, tail = self._alone(own_heads, own_relations)
            scores[row, tail] -= self.weights[relations[rows].to(self.weights.device)[row]].to(scores)
            yield rows, scores

    def _alone(self, heads: NDArray[np.int64], relations: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(row, tail) of the training answers to these very queries that answer the relation for no other head."""
        row, tail = self.known.gather(heads, relations)
        query = self.known.find(tail, relations[row] ^ 1)
        alone = self.known.offsets[query + 1] - self.known.offsets[query] == 1
        return torch.from_numpy(row[alone]), torch.from_numpy(tail[alone])
