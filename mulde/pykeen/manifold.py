"""Entities as points of one Poincaré ball: a PyKEEN representation that holds geoopt's manifold parameter.

For models of fixed curvature, trained by ``RiemannianAdam``; other optimisers work too, because points are projected
back into the ball after each step. The default of our models is tangent vectors in ordinary embeddings.
"""

from collections.abc import Sequence
from typing import Any

import geoopt
import torch
from pykeen.nn.representation import Representation
from torch import Tensor


class BallEmbedding(Representation):
    """A table of points in the ball of a fixed curvature.

    Parameters
    ----------
    max_id
        Number of points.
    shape
        Shape of one point, (d,) or d.
    curvature
        Positive; points have norms below 1/√curvature.
    init_scale
        Standard deviation of the normal tangent vectors at the origin whose images are the initial points.
    """

    def __init__(
        self,
        max_id: int,
        shape: int | Sequence[int] = 32,
        curvature: float = 1.0,
        init_scale: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_id=max_id, shape=shape, unique=False, **kwargs)
        self.init_scale = init_scale
        ball = geoopt.PoincareBall(c=curvature)
        self.points = geoopt.ManifoldParameter(torch.zeros(max_id, *self.shape), manifold=ball)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw new points in place, because an optimiser may hold the parameter already."""
        tangent = self.init_scale * torch.randn_like(self.points.data)
        self.points.copy_(self.points.manifold.expmap0(tangent))

    @torch.no_grad()
    def post_parameter_update(self) -> None:
        """Project into the ball, after an optimiser without manifolds."""
        self.points.copy_(self.points.manifold.projx(self.points))

    def _plain_forward(self, indices: Tensor | None = None) -> Tensor:
        points = self.points if indices is None else self.points[indices]
        return points.as_subclass(torch.Tensor)
