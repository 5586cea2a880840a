"""Relations that say the same, forwards or backwards, and the answers they give away.

A graph where "part of" stands in train and "has part" in test is answered by copying (Toutanova and Chen
2015; Dettmers et al. 2018; Akrami et al. 2020, whose threshold of 0.8 is the default here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kge_data.filters import KnownAnswers
from kge_data.keys import Ids, distinct_triples

THRESHOLD = 0.8


@dataclass(frozen=True)
class RelatedPair:
    """Two relations with nearly the same pairs of entities.

    Attributes:
        first, second: user relation ids, first <= second; equal for a symmetric relation.
        inverse: whether the pairs agree after exchanging head and tail.
        share: pairs in common, as a share of the larger relation's pairs; 0..1.
    """

    first: int
    second: int
    inverse: bool
    share: float

    @property
    def kind(self) -> str:
        """The word for it: symmetric, inverse or duplicate."""
        if self.first == self.second:
            return "symmetric"
        return "inverse" if self.inverse else "duplicate"


def related_relations(triples: Ids, threshold: float = THRESHOLD) -> list[RelatedPair]:
    """All pairs of relations that share at least `threshold` of their entity pairs.

    Args:
        triples: (n, 3) with user relation ids; duplicates count once.
    """
    heads, relations, tails = distinct_triples(triples).T
    stride = int(max(heads.max(initial=0), tails.max(initial=0))) + 1
    sizes = np.bincount(relations)
    forward, backward = heads * stride + tails, tails * stride + heads
    found = []
    for inverse, other in ((False, forward), (True, backward)):
        first, second, common = _meetings(forward, other, relations)
        share = common / np.maximum(sizes[first], sizes[second])
        wanted = (share >= threshold) & ((first < second) | (inverse & (first == second)))
        columns = (first[wanted].tolist(), second[wanted].tolist(), share[wanted].tolist())
        found += [RelatedPair(a, b, inverse, part) for a, b, part in zip(*columns, strict=True)]
    return sorted(found, key=lambda pair: -pair.share)


def given_away(triples: Ids, train: Ids, pairs: list[RelatedPair]) -> dict[str, int]:
    """How many triples (n, 3) train repeats through a related relation, by `RelatedPair.kind`."""
    known = KnownAnswers(train)
    answered = {kind: np.zeros(len(triples), dtype=bool) for kind in ("symmetric", "inverse", "duplicate")}
    for pair in pairs:
        for asked, partner in {(pair.first, pair.second), (pair.second, pair.first)}:
            rows = np.flatnonzero(triples[:, 1] == asked)
            heads, tails = triples[rows, 0], triples[rows, 2]
            if pair.inverse:
                heads, tails = tails, heads
            answered[pair.kind][rows] |= known.contains(heads, np.full(len(rows), partner), tails)
    return {kind: int(which.sum()) for kind, which in answered.items()}


def _meetings(keys: Ids, other_keys: Ids, relations: Ids) -> tuple[Ids, Ids, Ids]:
    """First relation, second relation, number of keys in common; three arrays of one length."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    start = np.searchsorted(ordered, other_keys, "left")
    counts = np.searchsorted(ordered, other_keys, "right") - start
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    partner = relations[order[np.repeat(start, counts) + within]]
    size = int(relations.max(initial=0)) + 1
    codes, common = np.unique(np.repeat(relations, counts) * size + partner, return_counts=True)
    return codes // size, codes % size, common
