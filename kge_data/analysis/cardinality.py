"""Cardinality of relations: one-to-one, one-to-many, many-to-one, many-to-many (Bordes et al. 2013, section 4.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kge_data.keys import distinct, distinct_triples

THRESHOLD = 1.5  # average number of partners from which a side counts as "many"
UNSEEN = "unseen"


def classes(triples: NDArray[np.int64], num_relations: int | None = None) -> NDArray[np.str_]:
    """The cardinality class of every relation.

    Parameters
    ----------
    triples
        (n, 3), relation ids of the graph; duplicates count once.
    num_relations
        Length of the result; by default the largest relation id + 1.

    Returns
    -------
    ndarray
        (r,) of "1-1", "1-N", "N-1", "N-N", heads before tails: "1-N" has one head per tail and several tails per head.
        A relation without triples is "unseen".
    """
    heads, relations, tails = distinct_triples(triples).T
    size = int(relations.max(initial=-1)) + 1 if num_relations is None else num_relations
    number = np.bincount(relations, minlength=size)
    result = np.full(size, UNSEEN)
    seen = number > 0
    many_heads = number[seen] / _distinct(relations, tails, size)[seen] >= THRESHOLD
    many_tails = number[seen] / _distinct(relations, heads, size)[seen] >= THRESHOLD
    sides = np.array([["1-1", "1-N"], ["N-1", "N-N"]])
    result[seen] = sides[many_heads.astype(int), many_tails.astype(int)]
    return result


def _distinct(relations: NDArray[np.int64], entities: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The number of different entities on one side of each relation, (size,)."""
    stride = int(entities.max(initial=0)) + 1
    return np.bincount(distinct(relations * stride + entities) // stride, minlength=size)
