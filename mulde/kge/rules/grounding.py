"""Which rules predict a fact, and by which paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from kge_data.inverse import inverse_of
from kge_data.keys import Ids
from mulde.kge.rules.constants import constant_rules
from mulde.kge.rules.links import Links
from mulde.kge.rules.rule import ConstantRule, Rule, Rules, Triple, as_fact


@dataclass(frozen=True)
class Fired:
    """A rule that predicts a fact."""

    rule: Rule | ConstantRule
    paths: list[list[Triple]]
    """Training facts of each path that was looked for, in the order of the body; relation ids of the graph."""


def fired(rules: Rules, links: Links, fact: Triple, top: int, paths: int = 3) -> list[Fired]:
    """The strongest rules that predict a fact.

    Parameters
    ----------
    rules, links
        The rules of a graph, and its links.
    fact
        Head, relation of the graph, tail. It need not be known. No path contains it.
    top
        Number of rules.
    paths
        Number of paths of each rule, at most.
    """
    if fact[0] == fact[2]:  # a rule is about two different entities
        return []
    closed = list(islice(_closed(rules, links, fact, paths), top))
    constant = [Fired(rule, [[first]]) for rule, first in constant_rules(links, fact)[:top]]
    return sorted([*closed, *constant], key=lambda each: -each.rule.counts.strength)[:top]


def _closed(rules: Rules, links: Links, fact: Triple, paths: int) -> Iterator[Fired]:
    head, relation, tail = fact
    for rule in rules.of(relation):
        found = groundings(links, rule.body, head, tail)[:paths]
        if len(found):
            yield Fired(rule, [_facts(rule.body, nodes) for nodes in found.tolist()])


def groundings(links: Links, body: Sequence[int], head: int, tail: int) -> Ids:
    """The paths (n, k + 1) of a body of k internal relations between two entities, in which all entities differ."""
    back = [inverse_of(relation) for relation in reversed(body)]
    if len(body) > 2 and _paths_of_two(links, head, body) > _paths_of_two(links, tail, back):
        return groundings(links, back, tail, head)[:, ::-1]
    nodes = np.array([[head]])
    for relation in body[:-1]:
        nodes = links.walk(nodes, relation)
    last = nodes[:, -1]
    connected = links.known.contains(last, np.full(len(last), body[-1]), np.full(len(last), tail))
    nodes = nodes[connected & (nodes != tail).all(1)]
    return np.concatenate([nodes, np.full((len(nodes), 1), tail)], axis=1)


def _paths_of_two(links: Links, start: int, body: Sequence[int]) -> int:
    """Number of paths of the first two atoms."""
    return int(links.sizes(links.known.answers(start, body[0]), body[1]).sum())


def _facts(body: Sequence[int], nodes: Sequence[int]) -> list[Triple]:
    return [as_fact(first, relation, second) for relation, first, second in zip(body, nodes, nodes[1:], strict=False)]
