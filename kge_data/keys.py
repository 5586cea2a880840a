"""Triples as single integers, which sort about ten times faster than rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kge_data.errors import DataError

Ids = NDArray[np.int64]


def refuse_overflow(num_heads: int, num_relations: int, num_tails: int) -> None:
    """Raise DataError if the possible triples cannot be numbered in an int64."""
    if num_heads * num_relations * num_tails > np.iinfo(np.int64).max:
        raise DataError(
            f"{num_heads:,} heads, {num_relations:,} relations and {num_tails:,} tails make more than 2**63 "
            "possible triples; number entities and relations densely, from 0."
        )


def triple_keys(triples: Ids, num_relations: int, num_entities: int) -> Ids:
    """The number (n,) of each triple (n, 3); their order is that of the triples."""
    refuse_overflow(num_entities, num_relations, num_entities)
    heads, relations, tails = triples.T
    keys: Ids = (heads * num_relations + relations) * num_entities + tails
    return keys


def distinct(keys: Ids) -> Ids:
    """The different keys in ascending order; keys are not negative. (np.unique is slower.)"""
    ordered = np.sort(keys)
    first: NDArray[np.bool_] = np.diff(ordered, prepend=-1) != 0
    return ordered[first]


def distinct_triples(triples: Ids) -> Ids:
    """The different triples (n, 3) in lexicographic order."""
    heads, relations, tails = np.asarray(triples, dtype=np.int64).reshape(-1, 3).T
    num_relations, num_tails = int(relations.max(initial=0)) + 1, int(tails.max(initial=0)) + 1
    refuse_overflow(int(heads.max(initial=0)) + 1, num_relations, num_tails)
    queries, tails = np.divmod(distinct((heads * num_relations + relations) * num_tails + tails), num_tails)
    return np.stack([*np.divmod(queries, num_relations), tails], axis=1)
