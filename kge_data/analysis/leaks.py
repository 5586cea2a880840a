"""Near-duplicate and near-inverse relations, and the test triples they leak, in time linear in the number of triples.

If "part of" is in train and its inverse "has part" in test, copying predicts the test triples (Toutanova and Chen 2015;
Dettmers et al. 2018; Akrami et al. 2020, whose threshold of 0.8 is the default here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kge_data.filters import KnownAnswers
from kge_data.keys import Ids, distinct_triples

THRESHOLD = 0.8
MANY = 100  # relations of one entity pair, above which each is compared with NEAR others only, not with all
NEAR = 10


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

    Where more than MANY relations have the same entity pair, common pairs are counted for some of them only. Relations
    with exactly the same pairs are still found, each with at least one other; those with nearly the same may be missed.

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
        wanted = (overlap >= threshold) & (inverse | (first != second))
        ordered = np.sort(np.stack([first[wanted], second[wanted]], axis=1), axis=1)
        pairs, which = np.unique(ordered, axis=0, return_index=True)
        parts = overlap[wanted][which].tolist()
        found += [RelatedPair(a, b, inverse, part) for (a, b), part in zip(pairs.tolist(), parts, strict=True)]
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
    order = np.argsort(triples[:, 1], kind="stable")
    heads, relations, tails = triples[order].T
    leaked = {"symmetric": known.contains(tails, relations, heads)}
    for kind in ("inverse", "duplicate"):
        ids = [(pair.first, pair.second) for pair in pairs if pair.kind == kind]
        both = np.array([*ids, *((second, first) for first, second in ids)], dtype=np.int64).reshape(-1, 2)
        start = np.searchsorted(relations, both[:, 0], "left")
        counts = np.searchsorted(relations, both[:, 0], "right") - start
        rows, partner = _ranges(start, counts), np.repeat(both[:, 1], counts)
        ends = (heads[rows], tails[rows]) if kind == "duplicate" else (tails[rows], heads[rows])
        leaked[kind] = np.zeros(len(triples), dtype=bool)
        leaked[kind][rows[known.contains(ends[0], partner, ends[1])]] = True
    return {kind: int(which.sum()) for kind, which in leaked.items()}


def _common_pairs(keys: Ids, other_keys: Ids, relations: Ids) -> tuple[Ids, Ids, Ids]:
    """First relation, second relation and number of common keys; three arrays of the same length."""
    place, other_place = _places(keys, relations), _places(other_keys, relations)
    order = np.lexsort((place, keys))
    ordered = keys[order]
    start, end = np.searchsorted(ordered, other_keys, "left"), np.searchsorted(ordered, other_keys, "right")
    many = np.flatnonzero(end - start > MANY)
    near = _positions(keys[order], place[order], other_keys[many], other_place[many])
    start[many] = np.maximum(start[many], near - NEAR)
    end[many] = np.minimum(end[many], near + NEAR)
    counts = end - start
    partner = relations[order[_ranges(start, counts)]]
    size = int(relations.max(initial=0)) + 1
    codes, common = np.unique(np.repeat(relations, counts) * size + partner, return_counts=True)
    return codes // size, codes % size, common


def _places(keys: Ids, relations: Ids) -> NDArray[np.uint64]:
    """A number for each triple by the set of keys of its relation; equal for relations with equal sets."""
    mixed = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    sums = np.zeros(int(relations.max(initial=-1)) + 1, dtype=np.uint64)
    np.add.at(sums, relations, mixed ^ (mixed >> np.uint64(32)))
    return sums[relations]


def _positions(keys: Ids, places: NDArray[np.uint64], of_keys: Ids, of_places: NDArray[np.uint64]) -> Ids:
    """Where keys with places belong among others in ascending order."""
    every = np.lexsort((np.concatenate([of_places, places]), np.concatenate([of_keys, keys])))
    is_new = every < len(of_keys)
    found = np.empty(len(of_keys), dtype=np.int64)
    found[every[is_new]] = np.cumsum(~is_new)[is_new]
    return found


def _ranges(start: Ids, counts: Ids) -> Ids:
    """start[0], start[0] + 1, ... of each range, one after the other."""
    return np.repeat(start - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
