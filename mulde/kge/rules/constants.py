"""Rules with a constant, b(x, d) => r(x, c), for one fact.

A graph has millions of them. Those that predict a fact r(h, t) have c = t, and b(h, d) is a fact of h. They are counted
when they are needed, all of them; so are those that begin with a fact of t, and predict h by the reciprocal relation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kge_data.inverse import forward_id, inverse_of, reciprocal_id
from mulde.kge.rules.links import Links
from mulde.kge.rules.rule import ConstantRule, Counts, Triple, as_fact, enough


def constant_rules(links: Links, fact: Triple) -> list[tuple[ConstantRule, Triple]]:
    """The rules with a constant that predict a fact, the strongest first, and the training fact that each begins with.

    Parameters
    ----------
    links
        The training graph.
    fact
        Head, relation of the graph, tail; it need not be known.
    """
    head, relation, tail = fact
    found = [*_about(links, head, forward_id(relation), tail), *_about(links, tail, reciprocal_id(relation), head)]
    return sorted(found, key=lambda each: -each[0].counts.strength)


def _about(links: Links, entity: int, relation: int, constant: int) -> Iterator[tuple[ConstantRule, Triple]]:
    """Rules that begin with a fact of an entity and predict the constant by an internal relation."""
    known = links.known
    bodies, others = links.facts_of(entity)
    different = (bodies != relation) | (others != constant)
    bodies, others = bodies[different], others[different]
    row, x = known.gather(others, inverse_of(bodies))
    row, x = row[x != constant], x[x != constant]
    holds, some = np.zeros((2, links.num_entities), dtype=bool)
    holds[known.answers(constant, inverse_of(relation))] = True
    some[known.heads[known.relations == relation]] = True
    counts = np.stack([np.bincount(row[of[x]], minlength=len(bodies)) for of in (holds, np.ones_like(some), some)], 1)
    for place in np.flatnonzero(enough(counts)).tolist():
        body = int(bodies[place]), int(others[place])
        yield ConstantRule(relation, constant, body, Counts(*counts[place].tolist())), as_fact(entity, *body)
