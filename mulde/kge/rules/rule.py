"""Rules with their counts, one by one and as a table.

A closed rule says that a path between two entities goes with a fact of a relation:

    b₁(x, z), b₂(z, y) => r(x, y)

A rule with a constant says that a fact with one entity goes with a fact with another:

    b(x, d) => r(x, c)

Different variables stand for different entities, as in AnyBURL (Meilicke et al. 2019, "Anytime Bottom-Up Rule
Learning for Knowledge Graph Completion"), and self-loops are left out. So no path of a rule contains the fact that it
predicts.

A body pair is a pair (x, y) that some path of the body connects; of a rule with a constant, an x with the fact b(x, d).

    support            body pairs of which r(x, y) is in train
    confidence         support / body pairs: the standard confidence
    PCA confidence     support / body pairs of which x has some answer of r, by the partial completeness assumption
                       (Galarraga et al. 2013, "AMIE")

A confidence is a share of the training graph. It is not the probability of a new fact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kge_data.inverse import internal_id, is_reciprocal, user_relation
from kge_data.keys import Ids
from kge_data.printing import one_line
from kge_data.tripleset import TripleSet

LONGEST = 3  # atoms of a body
NONE = -1  # in place of an atom that a shorter body lacks
DOUBT = 5  # body pairs without the fact that are assumed besides those seen; AnyBURL's default
FEWEST_SUPPORT, LEAST_CONFIDENCE = 2, 0.01
MOST = 1_000  # rules of a relation
Triple = tuple[int, int, int]  # head, relation of the graph, tail
VARIABLES = {1: "xy", 2: "xzy", 3: "xzwy"}


@dataclass(frozen=True)
class Counts:
    """How often a rule holds in train."""

    support: int
    pairs: int
    """Body pairs."""
    answered: int
    """Body pairs of which x has some answer of the relation."""

    @property
    def confidence(self) -> float:
        """Standard confidence."""
        return self.support / self.pairs

    @property
    def pca_confidence(self) -> float:
        """PCA confidence."""
        return self.support / self.answered

    @property
    def strength(self) -> float:
        """Orders rules: the confidence, lower for rules with few body pairs."""
        return self.support / (self.pairs + DOUBT)


@dataclass(frozen=True)
class Rule:
    """A closed rule."""

    relation: int
    """Relation of the graph that it predicts."""
    body: tuple[int, ...]
    """One to three internal relations, along the path from x to y."""
    counts: Counts

    @property
    def sampled(self) -> bool:
        """Whether it was found and counted by sampling, as bodies of three atoms are."""
        return len(self.body) == LONGEST

    def text(self, graph: TripleSet) -> str:
        """The rule in readable names."""
        names = VARIABLES[len(self.body)]
        body = [_atom(graph, relation, *names[i : i + 2]) for i, relation in enumerate(self.body)]
        return f"{', '.join(body)} => {_atom(graph, internal_id(self.relation, False), 'x', 'y')}"


@dataclass(frozen=True)
class ConstantRule:
    """A rule with a constant."""

    relation: int
    """Internal relation from x to the constant; the reciprocal one where heads are predicted."""
    constant: int
    body: tuple[int, int]
    """Internal relation and entity of the fact that x has."""
    counts: Counts
    sampled = False

    def text(self, graph: TripleSet) -> str:
        """The rule in readable names."""
        relation, entity = self.body
        body = _atom(graph, relation, "x", one_line(graph.entity_label(entity)))
        return f"{body} => {_atom(graph, self.relation, 'x', one_line(graph.entity_label(self.constant)))}"


def as_fact(first: int, internal: int, second: int) -> Triple:
    """The triple of the graph that a step of an internal relation takes."""
    ends = (second, first) if is_reciprocal(internal) else (first, second)
    return ends[0], user_relation(internal), ends[1]


def _atom(graph: TripleSet, internal: int, first: str, second: str) -> str:
    ends = (second, first) if is_reciprocal(internal) else (first, second)
    return f"{one_line(graph.relation_label(user_relation(internal)))}({', '.join(ends)})"


class Rules:
    """The closed rules of a graph.

    Parameters
    ----------
    table
        (n, 7) int64: relation, three internal relations of the body (-1 where it is shorter), support, body pairs, and
        answered body pairs.
    """

    COLUMNS = 1 + LONGEST + 3

    def __init__(self, table: Ids):
        self.table = ordered(table)

    def __len__(self) -> int:
        return len(self.table)

    def of(self, relation: int) -> Iterator[Rule]:
        """The rules of a relation of the graph, the strongest first."""
        start, end = np.searchsorted(self.table[:, 0], [relation, relation + 1])
        for row in self.table[start:end].tolist():
            body = tuple(atom for atom in row[1 : 1 + LONGEST] if atom != NONE)
            yield Rule(relation, body, Counts(*row[1 + LONGEST :]))


def strength(table: NDArray[Any]) -> NDArray[np.float64]:
    """`Counts.strength` of the rows of a table."""
    found: NDArray[np.float64] = table[:, -3] / (table[:, -2] + DOUBT)
    return found


def ordered(table: Ids) -> Ids:
    """The rows by relation, of each the strongest first; equally strong ones by their bodies."""
    return table[np.lexsort((*table[:, LONGEST:0:-1].T, -strength(table), table[:, 0]))]


def rows_of(relations: Ids, bodies: Ids, counts: Ids) -> Ids:
    """Rows (n, 7) from relations (n,), bodies (n, 1 to 3) and counts (n, 3)."""
    absent = np.full((len(relations), LONGEST - bodies.shape[1]), NONE)
    return np.concatenate([relations[:, None], bodies, absent, counts], axis=1)


def enough(counts: Ids) -> NDArray[np.bool_]:
    """Whether rules with these counts (n, 3) have the support and the confidence to be kept."""
    return (counts[:, 0] >= FEWEST_SUPPORT) & (counts[:, 0] >= LEAST_CONFIDENCE * counts[:, 1])


def frequent(table: Ids) -> Ids:
    """The rows of a table with enough support and confidence."""
    return table[enough(table[:, -3:])]


def strongest(table: Ids) -> Ids:
    """Of each relation, at most the `MOST` strongest rows."""
    table = ordered(table)
    starts = np.flatnonzero(np.diff(table[:, 0], prepend=-1))
    place = np.arange(len(table)) - np.repeat(starts, np.diff(starts, append=len(table)))
    return table[place < MOST]
