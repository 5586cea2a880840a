"""Closed rules with bodies of three atoms, found and counted by sampling.

A training fact r(x, y) is drawn, a fact of x and a fact of y. Where the other ends of these two are connected, the
three facts are a path, and its relations the body of a rule. The bodies that are found most often are counted first.
Their counts are those of the body pairs of some x, drawn among those that the body can begin with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kge_data.inverse import inverse_of
from kge_data.keys import Ids
from mulde.kge.rules.links import Links
from mulde.kge.rules.rule import LONGEST, Rules, rows_of

DRAWS = 1 << 14  # at a time
STARTS = 200  # entities x of which the body pairs are counted
PATHS = 1 << 20  # a body with more of them is left out


def bodies_of_three(links: Links, seed: int, more: Callable[[], bool]) -> Ids:
    """Bodies (n, 3) of internal relations, those found most often first.

    Parameters
    ----------
    links
        The training graph; not empty.
    seed
        Seed of the draws.
    more
        Whether to go on drawing; asked before each draw.
    """
    draw, known, width = np.random.default_rng(seed), links.known, links.num_internal
    begins = known.offsets[np.searchsorted(known.heads, np.arange(links.num_entities + 1))]
    relations, facts = np.repeat(known.relations, np.diff(known.offsets)), known.tails
    found: list[Ids] = [np.empty(0, dtype=np.int64)]
    while more():
        x, _, y = links.triples[draw.integers(len(links.triples), size=DRAWS)].T
        of_x, of_y = (begins[end] + draw.integers(begins[end + 1] - begins[end]) for end in (x, y))
        z, w = facts[of_x], facts[of_y]
        some = (z != y) & (w != x)
        place, second = links.steps_between(z[some], w[some])
        first, third = relations[of_x[some][place]], inverse_of(relations[of_y[some][place]])
        found.append((first * width + second) * width + third)
    bodies, often = np.unique(np.concatenate(found), return_counts=True)
    bodies = bodies[np.argsort(-often, kind="stable")]
    return np.stack([*np.divmod(bodies // width, width), bodies % width], axis=1)


def counted(links: Links, bodies: Ids, seed: int, more: Callable[[], bool]) -> Ids:
    """Rows of all rules with these bodies (n, 3), see `Rules`, as far as there is time.

    Parameters
    ----------
    links, seed
        As for `bodies_of_three`.
    bodies
        The bodies, in the order in which they are counted.
    more
        Whether to go on; asked before each body.
    """
    draw, tables = np.random.default_rng(seed), [np.empty((0, Rules.COLUMNS), dtype=np.int64)]
    for body in bodies:
        if not more():
            break
        starts = links.known.heads[links.known.relations == body[0]]
        if len(starts) > STARTS:
            starts = draw.choice(starts, STARTS, replace=False)
        ends = _body_pairs(links, starts, body.tolist())
        if ends is None or not len(ends):
            continue
        _, relations = links.relations_between(*ends.T)
        support = np.bincount(relations, minlength=links.num_relations)
        answered = np.asarray(links.answered[ends[:, 0]].sum(0)).ravel()
        some = np.flatnonzero(support)
        counts = np.stack([support[some], np.full(len(some), len(ends)), answered[some]], axis=1)
        tables.append(rows_of(some, np.broadcast_to(body, (len(some), LONGEST)), counts))
    return np.concatenate(tables)


def _body_pairs(links: Links, starts: Ids, body: Sequence[int]) -> Ids | None:
    """The different pairs (n, 2) that the body connects from these entities; None if there are too many paths."""
    paths = starts[:, None]
    for relation in body:
        if links.sizes(paths[:, -1], relation).sum() > PATHS:
            return None
        paths = links.walk(paths, relation)
    keys = np.unique(paths[:, 0] * links.num_entities + paths[:, -1])
    return np.stack(np.divmod(keys, links.num_entities), axis=1)
