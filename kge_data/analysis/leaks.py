"""Near-duplicate and near-inverse relations, and the test triples they leak.

If "part of" is in train and its inverse "has part" in test, copying predicts the test triples (Toutanova and Chen 2015;
Dettmers et al. 2018; Akrami et al. 2020, whose threshold of 0.8 is the default here).
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

    Attributes
    ----------
    first, second
        Relation ids, first <= second; equal for a symmetric relation.
    inverse
        Whether the pairs agree after head and tail are swapped.
    overlap
        Common pairs as a fraction of the larger relation's pairs; 0..1.
    """

    first: int
    second: int
    inverse: bool
    overlap: float

    @property
    def kind(self) -> str:
        """symmetric, inverse or duplicate."""
        if self.first == self.second:
            return "symmetric"
        return "inverse" if self.inverse else "duplicate"


def related_relations(triples: Ids, threshold: float = THRESHOLD) -> list[RelatedPair]:
    """All pairs of relations whose overlap is at least `threshold`, in descending order of overlap.

    Parameters
    ----------
    triples
        (n, 3), relation ids of the graph; duplicates count once.
    threshold
        Smallest overlap.

    Returns
    -------
    list of RelatedPair
    """
    heads, relations, tails = distinct_triples(triples).T
    stride = int(max(heads.max(initial=0), tails.max(initial=0))) + 1
    sizes = np.bincount(relations)
    forward, backward = heads * stride + tails, tails * stride + heads
    found = []
    for inverse, other in ((False, forward), (True, backward)):
        first, second, common = _common_pairs(forward, other, relations)
        overlap = common / np.maximum(sizes[first], sizes[second])
        wanted = (overlap >= threshold) & ((first < second) | (inverse & (first == second)))
        columns = (first[wanted].tolist(), second[wanted].tolist(), overlap[wanted].tolist())
        found += [RelatedPair(a, b, inverse, part) for a, b, part in zip(*columns, strict=True)]
    return sorted(found, key=lambda pair: -pair.overlap)


def count_leaks(triples: Ids, train: Ids, pairs: list[RelatedPair]) -> dict[str, int]:
    """The number of triples (n, 3) that train contains in another form.

    Returns
    -------
    dict
        "symmetric": with head and tail swapped, for every relation, near-symmetric or not; "inverse" and "duplicate":
        in another relation of `pairs`, swapped or not.
    """
    known = KnownAnswers(train)
    heads, relations, tails = triples.T
    leaked = {kind: np.zeros(len(triples), dtype=bool) for kind in ("symmetric", "inverse", "duplicate")}
    leaked["symmetric"] = known.contains(tails, relations, heads)
    for pair in pairs:
        if pair.kind == "symmetric":  # counted already
            continue
        for relation, partner in {(pair.first, pair.second), (pair.second, pair.first)}:
            rows = np.flatnonzero(relations == relation)
            ends = (tails[rows], heads[rows]) if pair.inverse else (heads[rows], tails[rows])
            leaked[pair.kind][rows] |= known.contains(ends[0], np.full(len(rows), partner), ends[1])
    return {kind: int(which.sum()) for kind, which in leaked.items()}


def _common_pairs(keys: Ids, other_keys: Ids, relations: Ids) -> tuple[Ids, Ids, Ids]:
    """First relation, second relation and number of common keys; three arrays of the same length."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    start = np.searchsorted(ordered, other_keys, "left")
    counts = np.searchsorted(ordered, other_keys, "right") - start
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    partner = relations[order[np.repeat(start, counts) + within]]
    size = int(relations.max(initial=0)) + 1
    codes, common = np.unique(np.repeat(relations, counts) * size + partner, return_counts=True)
    return codes // size, codes % size, common
