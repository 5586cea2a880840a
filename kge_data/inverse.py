"""Reciprocal relations: the user's relation r is 2r inside, and its reciprocal is 2r + 1.

The numbering is PyKEEN's. With it every question about a head, (?, r, t), becomes a question about a tail,
(t, 2r + 1, ?), so that models and evaluation only ever look for tails (Lacroix et al. 2018, section 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def with_reciprocals(triples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both directions of every triple, in internal relation ids.

    Args:
        triples: (n, 3) head, relation, tail; user relation ids.

    Returns:
        (2n, 3) int64: rows 0..n-1 are (h, 2r, t), rows n..2n-1 are (t, 2r + 1, h), in the same order.
    """
    heads, relations, tails = np.asarray(triples, dtype=np.int64).T
    forward = np.stack([heads, 2 * relations, tails], axis=1)
    backward = np.stack([tails, 2 * relations + 1, heads], axis=1)
    return np.concatenate([forward, backward])


def reciprocal(relations: NDArray[np.int64]) -> NDArray[np.int64]:
    """The internal id of the reverse of each internal relation id: 2r becomes 2r + 1 and back; any shape."""
    return np.asarray(relations, dtype=np.int64) ^ 1
