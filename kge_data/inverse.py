"""Internal relation ids: relation r of the graph is 2r, and its reciprocal relation is 2r + 1.

The numbering is PyKEEN's. With it a head query (?, r, t) becomes a tail query (t, 2r + 1, ?), so that models and
evaluation predict tails only (Lacroix et al. 2018, section 3).

Every function takes and returns an int, a numpy array or a torch tensor of any shape and integer dtype.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=Any)


def forward_id(relation: T) -> T:
    """Internal id 2r of relation r, which predicts tails."""
    return relation * 2


def reciprocal_id(relation: T) -> T:
    """Internal id 2r + 1 of the reciprocal of relation r, which predicts heads."""
    return relation * 2 + 1


def internal_id(relation: T, backward: Any) -> T:
    """Internal id of relation r: the reciprocal's where `backward` (bool, of the same shape) is true."""
    return relation * 2 + backward


def inverse_of(internal: T) -> T:
    """Internal id of the opposite direction: 2r becomes 2r + 1, and 2r + 1 becomes 2r."""
    return internal ^ 1


def user_relation(internal: T) -> T:
    """Relation r of the graph, for both of its internal ids."""
    return internal // 2


def is_reciprocal(internal: Any) -> Any:
    """Whether an internal id is that of a reciprocal relation; bool, of the same shape."""
    return internal % 2 == 1


def num_internal(num_relations: int) -> int:
    """Number of internal ids of a graph with `num_relations` relations."""
    return 2 * num_relations


def with_reciprocals(triples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both directions of every triple, in internal relation ids.

    Parameters
    ----------
    triples
        (n, 3) head, relation, tail; relation ids of the graph.

    Returns
    -------
    ndarray
        (2n, 3) int64; rows 0..n-1 are (h, 2r, t), rows n..2n-1 are (t, 2r + 1, h), in the same order.
    """
    heads, relations, tails = np.asarray(triples, dtype=np.int64).T
    forward = np.stack([heads, forward_id(relations), tails], axis=1)
    backward = np.stack([tails, reciprocal_id(relations), heads], axis=1)
    return np.concatenate([forward, backward])
