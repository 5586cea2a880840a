"""Options of a knowledge graph embedding model. Imports no torch, so that the command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mulde.config import NonNegative, Size, convert
from mulde.errors import UsageError

CURVATURE_FLOOR = 1e-4  # added to the softplus: keeps 1/√curvature and float32 distances sound

HardLoss = Literal["binary", "cross-entropy", "1vsall"]
"""Losses on hard labels: two that compare an answer with random corruptions, and one that compares all entities."""
MatmulPrecision = Literal["float32", "bfloat16"]
"""Precision of the inputs of the matrix products in the loss over all entities."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Model options besides the scorer."""

    dim: Size = 32
    """Embedding dimension; must be even for scorers that rotate or reflect pairs of coordinates."""
    dims: tuple[Size, ...] = ()
    """Train several sizes in one model, such as 8,16,32,64: the first 8 coordinates are a model of 8 dimensions, and so
    on. Replaces --dim, which is then the largest. The loss and the validation metrics are means over the sizes."""
    curvature: Literal["per-relation", "global", "fixed"] = "per-relation"
    """Curvature: learned for each relation (KGEmb), learned once for all relations (MulDE's code), or fixed at
    --initial-curvature."""
    initial_curvature: float = 1.3132617
    """Curvature before training; the default is softplus(1), as in KGEmb and MulDE."""
    distance: Literal["geodesic", "lorentz"] = "geodesic"
    """Distance of hyperbolic scorers: geodesic, or Lorentzian (Law et al. 2019), which grows faster between distant
    points."""
    bias: Literal["separate", "shared", "none"] = "separate"
    """Entity biases added to the score: separate for head and tail, shared by both, or none."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of embeddings and scores."""
    init_scale: NonNegative = 1e-3
    """Standard deviation of the initial vectors (KGEmb, MulDE: 1e-3)."""
    rotation_init: Literal["uniform", "normal"] = "uniform"
    """Initial rotation parameters: uniform in (-1, 1) as in KGEmb, or normal with --init-scale as in MulDE's code."""
    parametrization: Literal["tangent", "manifold"] = "tangent"
    """Entities as tangent vectors, or as points of the ball (geoopt manifold parameters; needs a fixed curvature)."""
    mask_self_loops: bool = True
    """Rank the query entity last if its relation has no self-loop (x, r, x) in the training triples. Does not affect
    training."""
    graph_prior: bool = True
    """After training, fit per-relation weights on the validation split for a local closed-world prior: entities that
    are answers of a relation in the training graph get a higher or lower score. Kept if it raises the validation MRR;
    not fitted for more than five million training triples."""
    artanh_limit: float | None = None
    """Cap on artanh's argument in the distance: 0.996 in MulDE's float32 code, 0.99999 in KGEmb. None: no cap."""

    def __post_init__(self) -> None:
        convert(self)
        if self.dims:
            dims = tuple(sorted(set(self.dims)))
            object.__setattr__(self, "dim", dims[-1])
            object.__setattr__(self, "dims", dims if len(dims) > 1 else ())
        if self.artanh_limit is not None and not 0 < self.artanh_limit < 1:
            raise UsageError(f"artanh_limit must be between 0 and 1; got {self.artanh_limit}; MulDE's is 0.996")
        if not self.initial_curvature > CURVATURE_FLOOR:
            raise UsageError(
                f"initial_curvature must be above {CURVATURE_FLOOR}, the floor of learned ones; got "
                f"{self.initial_curvature}; for flat space take a Euclidean scorer (rote, refe, atte, ...)"
            )
