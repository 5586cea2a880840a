"""PyKEEN interactions, one for every scorer in ``mulde/kge/scorers``: ``Scorer.query``, then ``scoring.compare``.

They are derived from the declarations of the scorers, so a new scorer file has its interaction without a change here:
``RotH`` becomes ``mulde.pykeen.interactions.RotHInteraction``.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast, get_args, get_type_hints

import torch
from class_resolver.utils import upgrade_to_sequence
from pykeen.nn.modules import Interaction
from torch import Tensor, nn
from torch.nn import functional

from mulde import catalogue
from mulde.errors import UsageError
from mulde.kge.model import scoring
from mulde.kge.model.config import CURVATURE_FLOOR, ModelConfig
from mulde.kge.model.scorer import Scorer


class ScorerInteraction(Interaction[Any, Any, Any]):
    """Similarity of query(h, r) and t, plus bias_h + bias_t, for representations whose batch dimensions broadcast.

    Entities are a vector (d,) and, by ``bias``, a head and a tail scalar, one scalar for both, or none.
    Relations are the vectors (d,) and matrices (d, d) that the scorer names, in its order, and a scalar
    where curvature is learned per relation: softplus of it, plus the floor of ``KGEModel``, is the
    curvature. A global one belongs to the interaction.

    Parameters
    ----------
    curvature, initial_curvature, distance, bias, parametrization, artanh_limit
        As in :class:`mulde.kge.model.config.ModelConfig`; those of curvature and distance have no effect in flat space.

    Raises
    ------
    UsageError
        For a choice that does not exist.
    """

    scorer: ClassVar[type[Scorer]]

    def __init__(
        self,
        curvature: str = "per-relation",
        initial_curvature: float = ModelConfig.initial_curvature,
        bias: str = "separate",
        parametrization: str = "tangent",
        artanh_limit: float | None = None,
        distance: str = "geodesic",
    ) -> None:
        super().__init__()
        refuse_unknown(curvature=curvature, bias=bias, parametrization=parametrization, distance=distance)
        config = ModelConfig(
            initial_curvature=initial_curvature, artanh_limit=artanh_limit,
            parametrization=cast(Any, parametrization), distance=cast(Any, distance),
        )  # fmt: skip
        self.space = self.scorer.space_of(config)
        self.curvature = curvature if self.scorer.hyperbolic() else "none"
        self.initial_curvature = initial_curvature
        scalars, self._head_indices, self._tail_indices = _BIASES[bias]
        self.entity_shape = ("d", *scalars)
        of_curvature = ("",) if self.curvature == "per-relation" else ()
        shapes = {"vector": "d", "angles": "d", "matrix": "dd"}
        self.relation_shape = (*(shapes[kind] for kind in self.scorer.relation.values()), *of_curvature)
        if self.curvature == "global":
            self.raw_curvature = nn.Parameter(torch.empty(1))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set a global curvature to its initial value."""
        if self.curvature == "global":
            nn.init.constant_(self.raw_curvature, raw_curvature(self.initial_curvature))

    def forward(self, h: Any, r: Any, t: Any) -> Tensor:
        """Scores of the broadcast batch shape; the arguments are tensors or sequences of them."""
        head, *biases = upgrade_to_sequence(h)
        tail, *tail_biases = upgrade_to_sequence(t)
        vectors = upgrade_to_sequence(r)
        parameters = dict(zip(self.scorer.relation, vectors, strict=False))
        curvature = self._curvature(vectors)
        if curvature is not None:
            parameters["curvature"] = curvature
        points = self.scorer.query(self.space.tangents(head, curvature), **parameters)
        scores = scoring.compare(points, tail, curvature, self.space)
        for bias in (*biases, *tail_biases):
            scores = scores + bias
        return scores

    def _curvature(self, relation: Sequence[Tensor]) -> Tensor | None:
        if self.curvature == "none":
            return None
        if self.curvature == "fixed":
            return relation[0].new_tensor(self.initial_curvature)
        raw = relation[-1] if self.curvature == "per-relation" else self.raw_curvature.squeeze(0)
        return functional.softplus(raw) + CURVATURE_FLOOR


_BIASES: dict[str, tuple[tuple[str, ...], Sequence[int], Sequence[int]]] = {
    "separate": (("", ""), (0, 1), (0, 2)),
    "shared": (("",), (0, 1), (0, 1)),
    "none": ((), (0,), (0,)),
}


def raw_curvature(curvature: float) -> float:
    """The parameter behind this curvature (above the floor): the inverse of softplus + floor."""
    above = curvature - CURVATURE_FLOOR
    return above + math.log(-math.expm1(-above))


def refuse_unknown(**choices: str) -> None:
    """Raise UsageError for a choice that ``ModelConfig`` does not declare under the same name."""
    for name, choice in choices.items():
        known = get_args(get_type_hints(ModelConfig)[name])
        if choice not in known:
            raise UsageError(f"{name}={choice!r}: no such choice; use one of {', '.join(map(repr, known))}")


SCORERS: list[type[Scorer]] = [catalogue.find("scorers", name) for name, _ in catalogue.names("scorers")]
"""All scorers of the catalogue, sorted by file name."""


def interaction_class(scorer: type[Scorer]) -> type[ScorerInteraction]:
    """The interaction of a scorer; for one outside ``mulde/kge/scorers`` a new class, which cannot be pickled."""
    name = f"{scorer.__name__}Interaction"
    known: Any = globals().get(name)
    if getattr(known, "scorer", None) is scorer:
        return known
    doc = f"{scorer.__name__} as a PyKEEN interaction; the formula is in ``{scorer.__module__}``."
    return type(name, (ScorerInteraction,), {"scorer": scorer, "__doc__": doc, "__module__": __name__})


# Module-level names, because pickle stores a class by the name under which it can be imported.
INTERACTIONS = [interaction_class(scorer) for scorer in SCORERS]
globals().update({interaction.__name__: interaction for interaction in INTERACTIONS})
