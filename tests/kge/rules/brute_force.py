"""Closed rules and rules with a constant by loops over all pairs of entities: the definitions, word by word."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

from kge_data.inverse import inverse_of, num_internal, with_reciprocals
from kge_data.tripleset import TripleSet

Counts = tuple[int, int, int]  # support, body pairs, answered body pairs


def steps(graph: TripleSet) -> dict[tuple[int, int], set[int]]:
    """(entity, internal relation) -> entities, without self-loops."""
    found: dict[tuple[int, int], set[int]] = defaultdict(set)
    for head, relation, tail in with_reciprocals(graph.train).tolist():
        if head != tail:
            found[head, relation].add(tail)
    return found


def paths(graph: TripleSet, body: tuple[int, ...]) -> set[tuple[int, ...]]:
    """All paths of a body in which all entities differ."""
    to = steps(graph)
    found = {(entity,) for entity in range(graph.num_entities)}
    for relation in body:
        found = {(*path, end) for path in found for end in to[path[-1], relation] if end not in path}
    return found


def closed(graph: TripleSet, atoms: int) -> dict[tuple[int, tuple[int, ...]], Counts]:
    """(relation, body) -> counts, of all closed rules with some support."""
    to, found = steps(graph), {}
    for body in product(range(num_internal(graph.num_relations)), repeat=atoms):
        pairs = {(path[0], path[-1]) for path in paths(graph, body)}
        for relation in range(graph.num_relations):
            support = sum(y in to[x, 2 * relation] for x, y in pairs)
            if support and body != (2 * relation,):
                found[relation, body] = support, len(pairs), sum(bool(to[x, 2 * relation]) for x, _ in pairs)
    return found


def constant(graph: TripleSet, relation: int, end: int, body: tuple[int, int]) -> Counts:
    """Counts of body[0](x, body[1]) => relation(x, end), by internal relations."""
    to = steps(graph)
    xs = to[body[1], inverse_of(body[0])] - {end}
    return sum(end in to[x, relation] for x in xs), len(xs), sum(bool(to[x, relation]) for x in xs)
