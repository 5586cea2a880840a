"""ULTRA for one query at a time, edge by edge, in float64 on numpy: slow, and close to the equations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def scores(weights: Weights, triples: Iterable[Any], entities: int, relations: int, head: int, relation: int,
           left_out: bool) -> Array:  # fmt: skip
    """Scores of all entities for (head, relation, ?), with the internal relation 2r or 2r + 1."""
    edges = [(h, 2 * r, t) for h, r, t in triples] + [(t, 2 * r + 1, h) for h, r, t in triples]
    vectors = relation_vectors(weights, edges, 2 * relations, relation)
    if left_out:
        edges = [(x, r, y) for x, r, y in edges if (x, r) != (head, relation) and (y, r ^ 1) != (head, relation)]
    query, depth = vectors[relation], _depth(weights, "entity_model")
    start = np.zeros((entities, len(query)))
    start[head] = query
    states = start
    for layer in (f"entity_model.layers.{i}." for i in range(depth)):
        hidden = np.maximum(_linear(weights, f"{layer}relation_projection.0.", vectors), 0)
        states = update(
            weights, layer, states, edges, _linear(weights, f"{layer}relation_projection.2.", hidden), start
        )
    features = np.concatenate([states, np.broadcast_to(query, states.shape)], axis=1)
    hidden = np.maximum(_linear(weights, "entity_model.mlp.0.", features), 0)
    found: Array = _linear(weights, "entity_model.mlp.2.", hidden)[:, 0]
    return found


def relation_vectors(weights: Weights, edges: list[tuple[int, int, int]], count: int, relation: int) -> Array:
    """The vector of each relation, given the relation of the query."""
    heads = [{x for x, r, _ in edges if r == one} for one in range(count)]
    tails = [{y for _, r, y in edges if r == one} for one in range(count)]
    kinds = (heads, heads), (tails, tails), (heads, tails), (tails, heads)
    meetings = [
        (i, kind, j)
        for kind, (own, other) in enumerate(kinds)
        for i in range(count)
        for j in range(count)
        if own[i] & other[j]
    ]
    learned = weights["relation_model.layers.0.relation.weight"]
    start = np.zeros((count, learned.shape[1]))
    start[relation] = 1
    states = start
    for layer in (f"relation_model.layers.{i}." for i in range(_depth(weights, "relation_model"))):
        states = update(weights, layer, states, meetings, weights[f"{layer}relation.weight"], start)
    return states


def update(weights: Weights, layer: str, states: Array, edges: Any, vectors: Array, start: Array) -> Array:
    """The states after a layer."""
    sums = start.copy()
    for x, r, y in edges:
        sums[x] += vectors[r] * states[y]
    found = _linear(weights, f"{layer}linear.", np.concatenate([states, sums], axis=1))
    centred = found - found.mean(1, keepdims=True)
    found = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    found = found * weights[f"{layer}layer_norm.weight"] + weights[f"{layer}layer_norm.bias"]
    result: Array = states + np.maximum(found, 0)
    return result


def _linear(weights: Weights, name: str, inputs: Array) -> Array:
    result: Array = inputs @ weights[f"{name}weight"].T + weights[f"{name}bias"]
    return result


def _depth(weights: Weights, model: str) -> int:
    return len([name for name in weights if name.startswith(f"{model}.layers.") and name.endswith("linear.bias")])
