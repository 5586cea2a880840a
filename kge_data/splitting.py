"""Random split of triples into train, valid and test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError
from kge_data.keys import distinct_triples

VALID_FRACTION, TEST_FRACTION = 0.05, 0.05

Triples = NDArray[np.int64]


def split(
    triples: Triples, seed: int, valid_fraction: float = VALID_FRACTION, test_fraction: float = TEST_FRACTION
) -> list[Triples]:
    """Train, valid and test; every entity and relation of valid and test occurs in train.

    One triple of each entity and relation, drawn at random, stays in train. Valid and test are drawn from the others,
    and are smaller than requested if too few are left. The result depends on the set of triples and the seed, not on
    their order. Duplicates are dropped first.

    Parameters
    ----------
    triples
        (n, 3) int64.
    seed
        Seed of the draw.
    valid_fraction, test_fraction
        Fractions of the distinct triples.

    Returns
    -------
    list of ndarray
        Train, valid and test, (m, 3) int64 each.

    Raises
    ------
    DataError
        If fewer than two triples can be taken from train.
    """
    distinct = distinct_triples(triples)
    shuffled = np.random.default_rng(seed).permutation(distinct)
    free = np.flatnonzero(~_first_of_its_kind(shuffled))
    valid_size, test_size = (max(round(fraction * len(distinct)), 1) for fraction in (valid_fraction, test_fraction))
    if len(free) < valid_size + test_size:
        valid_size = round(len(free) * valid_fraction / (valid_fraction + test_fraction))
        test_size = len(free) - valid_size
    if not valid_size or not test_size:
        raise DataError(
            f"{len(distinct)} different triples cannot be split so that every entity and relation stays in train: "
            f"only {len(free)} could be taken from it; give more triples, or give train, valid and test."
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
