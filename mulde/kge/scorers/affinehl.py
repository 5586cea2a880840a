"""AffineHL: the points of AffineH, compared by the Lorentzian distance.

    q = expmap0(h + A h / √d) ⊕ expmap0(translation),    score = -4 sinh²(√c d(q, expmap0(t))/2)/c + biases

A linear map for every relation under the Lorentzian distance is the design of HyboNet (Chen et al. 2022, "Fully
Hyperbolic Neural Networks", section 4). There the map acts on the hyperboloid's coordinates, with a learned
and bounded scale of time; here on tangent vectors at the origin, as in AffineH. Source of the comparison: see
:mod:`mulde.geometry.lorentz`.
"""

from __future__ import annotations

from mulde.geometry import lorentz
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.affineh import AffineH


class AffineHL(Scorer):
    """Parameters and query of AffineH."""

    space = lorentz
    relation = AffineH.relation
    query = AffineH.query  # type: ignore[assignment]
