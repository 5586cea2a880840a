"""One list of triples -> train, valid and test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError
from kge_data.keys import distinct_triples

VALID_SHARE, TEST_SHARE = 0.05, 0.05

Triples = NDArray[np.int64]


def split(
    triples: Triples, seed: int, valid_share: float = VALID_SHARE, test_share: float = TEST_SHARE
) -> list[Triples]:
    """Train, valid and test; every entity and relation of valid and test occurs in train.

    For each entity and relation one triple, drawn at random, is kept for train; valid and test are drawn
    from the others, and are smaller than asked for where too few are left. The outcome depends on the set of
    triples and the seed, not on their order; duplicates are dropped first, so that none falls on both sides.

    Args:
        triples: (n, 3).
        seed: of the draw.
        valid_share, test_share: of the distinct triples.

    Raises DataError where not even one triple each is free for valid and test.
    """
    distinct = distinct_triples(triples)
    shuffled = np.random.default_rng(seed).permutation(distinct)
    free = np.flatnonzero(~_first_of_its_kind(shuffled))
    valid_size, test_size = (max(round(share * len(distinct)), 1) for share in (valid_share, test_share))
    if len(free) < valid_size + test_size:
        valid_size = round(len(free) * valid_share / (valid_share + test_share))
        test_size = len(free) - valid_size
    if not valid_size or not test_size:
        raise DataError(
            f"{len(distinct)} different triples cannot be split so that train keeps every entity and "
            f"relation: only "
            f"{len(free)} could be spared; give more triples, or a folder with train, valid and test."
        )
    valid, test = free[:valid_size], free[valid_size : valid_size + test_size]
    return [np.delete(shuffled, np.concatenate([valid, test]), axis=0), shuffled[valid], shuffled[test]]


def _first_of_its_kind(triples: Triples) -> NDArray[np.bool_]:
    """Whether a triple is the first with its head, its tail or its relation, (n,)."""
    first = np.zeros(len(triples), dtype=bool)
    heads, relations, tails = triples.T
    for ids in (np.stack([heads, tails], axis=1).ravel(), np.repeat(relations, 2)):
        first[np.unique(ids, return_index=True)[1] // 2] = True
    return first
