"""The Poincaré ball: the few operations hyperbolic scorers need, for any positive curvature.

Names and formulas are those of geoopt's stereographic manifold, which is the reference in the tests. Two things
differ from it. The curvature is positive here and may differ from row to row (geoopt's ``k`` is its negative). And
distances are computed by arcosh instead of artanh, because the argument of ``artanh`` loses its digits just below
one: with z = |x-y|² / ((1-c|x|²)(1-c|y|²)), the distance is arcosh(1 + 2cz)/√c (Nickel & Kiela 2017,
eq. 1). Written as log1p(y + √(y(y+2))) with y = 2cz it is exact for near and for far points, and 4z is the limit of
its square as the curvature vanishes.

Conventions: ``curvature`` broadcasts against a point without its last axis, that is () or (b,) for points (b, d).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TINY = 1e-15  # below this a squared norm counts as zero: keeps sqrt differentiable and quotients finite
FAR = 15.0  # radius τ at which tails are capped: beyond any useful value, and its sinh² still fits float32


def margin(dtype: torch.dtype) -> float:
    """Fraction of the radius that points keep from the boundary: 4e-3 in float32, 1e-5 in float64 (KGEmb, geoopt)."""
    return 1e-5 if dtype == torch.float64 else 4e-3


def expmap0(tangent: Tensor, curvature: Tensor) -> Tensor:
    """Map tangent vectors at the origin (..., d) to points of the ball (..., d): tanh(√c|v|) v / (√c|v|).

    Points keep the :func:`margin` from the boundary, as after :func:`project`.
    """
    scaled = (curvature * tangent.square().sum(-1)).clamp_min(TINY).sqrt()
    return tangent * (scaled.tanh().clamp_max(1 - margin(tangent.dtype)) / scaled).unsqueeze(-1)


def logmap0(point: Tensor, curvature: Tensor) -> Tensor:
    """Inverse of :func:`expmap0`: points (..., d) to tangent vectors (..., d). Points at the boundary are clipped."""
    scaled = (curvature * point.square().sum(-1)).clamp_min(TINY).sqrt()
    return point * (scaled.clamp_max(1 - margin(point.dtype)).atanh() / scaled).unsqueeze(-1)


def project(point: Tensor, curvature: Tensor) -> Tensor:
    """Pull points (..., d) that rounding has carried to the boundary back to radius (1 - margin)/√c."""
    norm = (curvature * point.square().sum(-1)).clamp_min(TINY).sqrt()
    return point * ((1 - margin(point.dtype)) / norm).clamp_max(1.0).unsqueeze(-1)


def mobius_add(x: Tensor, y: Tensor, curvature: Tensor) -> Tensor:
    """Möbius sum x ⊕ y of points (..., d), clipped to the ball by :func:`project`."""
    xy = (x * y).sum(-1)
    xx = x.square().sum(-1)
    yy = y.square().sum(-1)
    along_x = 1 + curvature * (2 * xy + yy)
    along_y = 1 - curvature * xx
    scale = 1 + curvature * (2 * xy + curvature * xx * yy)
    total = along_x.unsqueeze(-1) * x + along_y.unsqueeze(-1) * y
    return project(total / scale.clamp_min(TINY).unsqueeze(-1), curvature)


def squared_distance(x: Tensor, y: Tensor, curvature: Tensor) -> Tensor:
    """Squared geodesic distance of points x and y (..., d) -> (...); exact for near points too."""
    gaps = (1 - curvature * x.square().sum(-1)) * (1 - curvature * y.square().sum(-1))
    return squared_length((x - y).square().sum(-1) / gaps.clamp_min(TINY), curvature)


# --- A distance in two halves, so that one matrix product compares every query with every entity -----------------
#
# A tail is stored as a tangent vector t; its point y = expmap0(t) is t rescaled. With n = |t|², τ = √(cn),
#     z = q_offset + q_scale · radial(n) + q_slope · stretch(n) · <x, t>
# where the three q-terms belong to the query point x and the other two to the tail. Nothing has shape (b, e, d).


def query_terms(point: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offset, scale and slope (...) of query points (..., d) in the formula above."""
    square = point.square().sum(-1)
    conformal = 1 / (1 - curvature * square).clamp_min(TINY)
    return conformal * square, conformal * (1 + curvature * square), -2 * conformal


def tail_terms(squares: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """Radial part sinh²τ/c and stretch sinhτ·coshτ/τ of tangent tails with squared norms ``squares``; they broadcast.

    Both are smooth at the origin and for vanishing curvature, where they become n and 1. A tail farther out than
    τ = 15 is moved to 15 in the same direction: sinh² of more would overflow float32.
    """
    radial, stretch = _TailTerms.apply(squares, curvature)
    return radial, stretch


def point_terms(squares: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """The same two terms for tails stored as points y of the ball (manifold parameters): n/(1-cn) and 1/(1-cn)."""
    stretch = 1 / (1 - curvature * squares).clamp_min(TINY)
    return squares * stretch, stretch


def squared_length(z: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> Tensor:
    """Squared distance arcosh²(1 + 2cz)/c of z (...).

    ``artanh_limit`` reproduces codes that clamp the argument of artanh: artanh u is half of arcosh(1 + y) for
    y = 2u²/(1-u²), so the clamp is a cap on y, with zero gradient above it (MulDE's review-time code: 1 - 4e-3 in
    float32).
    """
    y = 2 * curvature * z
    if artanh_limit is not None:
        y = y.clamp_max(cap(artanh_limit))
    return _SquaredArcosh1p.apply(y) / curvature


def cap(artanh_limit: float) -> float:
    """The largest y = 2cz under a limit on artanh's argument, see :func:`squared_length`."""
    return 2 * artanh_limit**2 / (1 - artanh_limit**2)


def similarity(z: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> Tensor:
    """Minus the squared distance of z (...); higher is better."""
    return -squared_length(z, curvature, artanh_limit)


def similarity_(z: Tensor, curvature: Tensor, artanh_limit: float | None, scratch: Tensor) -> Tensor:
    """:func:`similarity` in place and without gradient, for blocks that stay in the cache; ``scratch`` is as ``z``."""
    y = z.mul_(2 * curvature).clamp_(1e-30, None if artanh_limit is None else cap(artanh_limit))
    root = torch.add(y, 2, out=scratch).mul_(y).sqrt_()
    return _log1p_(y.add_(root), scratch).square_().mul_(-1 / curvature)


def reach(similarity: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> Tensor:
    """Inverse of :func:`similarity`, which falls with z: every z up to the result reaches the value.

    sinh²(√c d/2)/c for a distance d; -1 for a positive similarity, which no z reaches; infinity below the cap, which
    every z reaches.
    """
    scaled = curvature * -similarity  # c d²
    z = (scaled.clamp_min(0).sqrt() / 2).sinh().square() / curvature
    z = torch.where(scaled < 0, -1.0, z)
    if artanh_limit is None:
        return z
    return torch.where(2 * curvature * z >= cap(artanh_limit), torch.inf, z)


def similarity_slope_(z: Tensor, curvature: Tensor, artanh_limit: float | None = None) -> tuple[Tensor, Tensor]:
    """:func:`similarity_` and its derivative by z, -4 arcosh(1 + y)/√(y(y+2)) with y = 2cz; z is overwritten."""
    y = z.mul_(2 * curvature).clamp_min_(1e-30)
    most = None if artanh_limit is None else cap(artanh_limit)
    beyond = None if most is None else y > most
    if most is not None:
        y.clamp_max_(most)
    slope = torch.add(y, 2).mul_(y).sqrt_()
    arcosh = _log1p_(y.add_(slope), torch.empty_like(y))
    torch.div(arcosh, slope, out=slope).mul_(-4)
    if beyond is not None:
        slope.masked_fill_(beyond, 0)
    return arcosh.square_().div_(-curvature), slope


def _log1p_(w: Tensor, scratch: Tensor) -> Tensor:
    """log(1 + w) in place, for w >= 0: log u + (w - (u - 1))/u, where u is 1 + w rounded.

    As exact as ``log1p`` to a unit in the last place, and several times as fast on processors that MKL has no code for.
    """
    if torch.compiler.is_compiling():  # the same formula, in a form that the compiler fuses
        u = 1 + w
        return w.copy_(u.log() + (w - (u - 1)) / u)
    lost = w.sub_(torch.add(w, 1, out=scratch).sub_(1))
    u = scratch.add_(1)
    return lost.div_(u).add_(u.log_())


class _TailTerms(torch.autograd.Function):
    """Radial part and stretch, with derivatives that cost no further exponential.

        radial' = stretch,   n · stretch' = (cosh 2τ - stretch)/2   by n, with cosh 2τ = 1 + 2c · radial,

    and since both depend on c through τ² = cn (radial also as 1/c), the derivatives by c are made of the same terms.
    """

    @staticmethod
    def forward(ctx: Any, squares: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
        double = (4 * curvature * squares).clamp_min_(4 * TINY).sqrt_()
        grown = torch.expm1(double.clamp_max(2 * FAR))  # e^2τ - 1
        shrunk = grown / (1 + grown)  # 1 - e^-2τ
        radial, stretch = grown * shrunk / (4 * curvature), (grown + shrunk) / (2 * double)
        ctx.save_for_backward(squares, curvature, radial, stretch, double)
        return radial, stretch

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_radial: Tensor, to_stretch: Tensor) -> tuple[Tensor, Tensor | None]:
        squares, curvature, radial, stretch, double = ctx.saved_tensors
        near = double < 2 * FAR  # beyond, the radial part stays as it is and the stretch falls as 1/τ
        by_stretch = torch.add(near, radial * (2 * curvature * near)).sub_(stretch).mul_(to_stretch / 2)
        by_radial = near * stretch * to_radial
        to_curvature = None
        if ctx.needs_input_grad[1]:
            to_curvature = (squares * by_radial).addcmul_(radial, to_radial, value=-1).add_(by_stretch) / curvature
            to_curvature = to_curvature.sum_to_size(curvature.shape)
        by_squares = by_radial.add_(by_stretch / squares.clamp_min(TINY))
        return by_squares.sum_to_size(squares.shape), to_curvature


class _SquaredArcosh1p(torch.autograd.Function):
    """arcosh²(1 + y), with the derivative 2 arcosh(1 + y)/√(y(y+2)), which is 2 at zero where autograd would give 0·∞.

    Rounding can make y slightly negative for coinciding points; it counts as zero, and the derivative stays finite.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor) -> Tensor:
        y = y.clamp_min(1e-30)
        root = (y * (y + 2)).sqrt()
        arcosh = _log1p_(y + root, torch.empty_like(y))
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(2 * arcosh / root)
        return arcosh.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return gradient * slope
