"""RotHL: the points of RotH, compared by the Lorentzian distance.

    q = Rot(θ)(expmap0(h) ⊕ expmap0(before)) ⊕ expmap0(after),    score = -4 sinh²(√c d(q, expmap0(t))/2)/c + biases

Query and tail are points of one hyperbolic space in both; only what is made of their distance d differs. Source of the
comparison: see :mod:`mulde.geometry.lorentz`.
"""

from __future__ import annotations

from mulde.geometry import lorentz
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.roth import RotH


class RotHL(Scorer):
    """Parameters and query of RotH."""

    space = lorentz
    relation = RotH.relation
    query = RotH.query  # type: ignore[assignment]
