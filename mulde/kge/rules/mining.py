"""Mining of all closed rules with bodies of one and two atoms, by sparse products in bounded memory.

Two queries (x, b₁, ?) and (y, b₂⁻¹, ?) share an answer z where a path b₁(x, z), b₂(z, y) connects x and y. So the body
pairs of all bodies of two atoms are the entries of A Aᵀ, for the matrix A of queries and their answers. It is made a
few rows at a time, and only counts are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from kge_data.inverse import forward_id, inverse_of, with_reciprocals
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde.kge.rules.links import Links
from mulde.kge.rules.rule import Rules, frequent, rows_of, strongest
from mulde.kge.rules.sampling import bodies_of_three, counted

ENTRIES = 1 << 22  # of a product at a time; each takes about 100 bytes
ROWS = 1 << 20  # of a table before the weaker rules are dropped
SHORTEST = 0.3  # seconds of sampling


def mine(graph: TripleSet, seconds: float | None = None, seed: int = 0) -> Rules:
    """The rules of a graph.

    Parameters
    ----------
    graph
        The graph; only its training triples are read.
    seconds
        Processor time for bodies of three atoms; None: as long as the shorter ones take, and at least .3 s. 0: none.
    seed
        Seed of the samples.

    Returns
    -------
    Rules
        Those with a support of 2 and a confidence of .01 at least; of a relation at most the 1,000 strongest.
    """
    links, began = Links(graph), time.process_time()
    tables = [frequent(of_one(links)), of_two(links)]
    spent = time.process_time() - began
    limit = max(spent, SHORTEST) if seconds is None else seconds
    if limit and len(links.triples):
        bodies = bodies_of_three(links, seed, _for(limit / 2))
        tables.append(frequent(counted(links, bodies, seed, _for(limit / 2))))
    return Rules(strongest(np.concatenate(tables)))


def _for(seconds: float) -> Callable[[], bool]:
    """A function that is true for some seconds of processor time from now."""
    end = time.process_time() + seconds
    return lambda: time.process_time() < end


def of_one(links: Links) -> Ids:
    """Rows of all rules b(x, y) => r(x, y), see `Rules`."""
    heads, bodies, tails = with_reciprocals(links.triples).T
    place, relations = links.relations_between(heads, tails)
    support = np.zeros((links.num_internal, links.num_relations), dtype=np.int64)
    np.add.at(support, (bodies[place], relations), 1)
    own = np.arange(links.num_relations)
    support[forward_id(own), own] = 0  # r(x, y) => r(x, y)
    answered = (links.subjects.T @ links.answered).toarray()
    return _rows(support, np.bincount(bodies, minlength=links.num_internal), answered, ())


def of_two(links: Links) -> Ids:
    """Rows of the rules b₁(x, z), b₂(z, y) => r(x, y) with enough support and confidence."""
    tables = [np.empty((0, Rules.COLUMNS), dtype=np.int64)]
    for first in range(links.num_internal):
        tables.append(frequent(_of_two_from(links, first)))
        if sum(map(len, tables)) > ROWS:
            tables = [strongest(np.concatenate(tables))]
    return np.concatenate(tables)


def _of_two_from(links: Links, first: int) -> Ids:
    """Rows of all rules with bodies of two atoms and this first one."""
    known, width = links.known, links.num_internal
    support, answered = np.zeros((2, width, links.num_relations), dtype=np.int64)
    pairs = np.zeros(width, dtype=np.int64)
    for rows in _pieces(links, np.flatnonzero(known.relations == first)):
        product = links.answers[rows] @ links.answers.T
        row = np.repeat(np.arange(len(rows)), np.diff(product.indptr))
        starts, ends = known.heads[rows][row], known.heads[product.indices]
        second = inverse_of(known.relations[product.indices])
        different = starts != ends
        row, starts, ends, second = (ids[different] for ids in (row, starts, ends, second))
        of_row = np.bincount(row * width + second, minlength=len(rows) * width).reshape(len(rows), width)
        pairs += of_row.sum(0)
        answered += (links.answered[known.heads[rows]].T @ of_row).T
        place, relations = links.relations_between(starts, ends)
        cells = second[place] * links.num_relations + relations
        support += np.bincount(cells, minlength=support.size).reshape(support.shape)
    return _rows(support, pairs, answered, (first,))


def _pieces(links: Links, queries: Ids) -> Iterator[Ids]:
    """The queries in pieces whose products and counts have about `ENTRIES` entries."""
    degrees = np.bincount(links.known.tails, minlength=links.num_entities)
    entries = np.cumsum(links.answers[queries] @ degrees + links.num_internal)
    yield from np.split(queries, np.flatnonzero(np.diff(entries // ENTRIES)) + 1)


def _rows(support: Ids, pairs: Ids, answered: Ids, first: tuple[int, ...]) -> Ids:
    """Rows of the rules with some support.

    Parameters
    ----------
    support, answered
        (b, r) by the last atom of the body and the relation of the rule.
    pairs
        (b,) by the last atom.
    first
        The atoms before.
    """
    last, relations = np.nonzero(support)
    before = np.broadcast_to(np.array(first, dtype=np.int64), (len(last), len(first)))
    counts = np.stack([support[last, relations], pairs[last], answered[last, relations]], axis=1)
    return rows_of(relations, np.concatenate([before, last[:, None]], axis=1), counts)
