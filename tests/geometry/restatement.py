"""The Poincaré ball once more, in 50 decimal digits on Python lists: slow, naive, and independent of torch.

Distances go through the Möbius sum and artanh, where the package uses arcosh, so the two share no formula.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
from mpmath import mpf
from torch import Tensor

mpmath.mp.dps = 50

Vector = list[mpf]
Number = mpf | float


def vector(row: Tensor) -> Vector:
    """The exact values of one row (d,)."""
    return [mpf(value) for value in row.tolist()]


def dot(x: Vector, y: Vector) -> mpf:
    return mpmath.fdot(x, y)


def norm(x: Vector) -> mpf:
    return mpmath.sqrt(dot(x, x))


def scale(factor: Number, x: Vector) -> Vector:
    return [factor * value for value in x]


def add(x: Vector, y: Vector) -> Vector:
    return [a + b for a, b in zip(x, y, strict=True)]


def expmap0(v: Vector, c: Number) -> Vector:
    """tanh(√c|v|) v / (√c|v|)."""
    length = mpmath.sqrt(c) * norm(v)
    return v if length == 0 else scale(mpmath.tanh(length) / length, v)


def logmap0(x: Vector, c: Number) -> Vector:
    """artanh(√c|x|) x / (√c|x|)."""
    length = mpmath.sqrt(c) * norm(x)
    return x if length == 0 else scale(mpmath.atanh(length) / length, x)


def mobius_add(x: Vector, y: Vector, c: Number) -> Vector:
    """((1 + 2c<x,y> + c|y|²) x + (1 - c|x|²) y) / (1 + 2c<x,y> + c²|x|²|y|²)."""
    c = mpf(c)  # c * c must not be rounded to a float
    xy, xx, yy = dot(x, y), dot(x, x), dot(y, y)
    total = add(scale(1 + 2 * c * xy + c * yy, x), scale(1 - c * xx, y))
    return scale(1 / (1 + 2 * c * xy + c * c * xx * yy), total)


def squared_distance(x: Vector, y: Vector, c: Number) -> mpf:
    """((2/√c) artanh(√c |-x ⊕ y|))²."""
    root = mpmath.sqrt(c)
    return (2 / root * mpmath.atanh(root * norm(mobius_add(scale(-1, x), y, c)))) ** 2


def rotate(parameters: Vector, x: Vector) -> Vector:
    """Turn every pair of coordinates by the angle of its parameter pair."""
    return _pairwise(parameters, x, lambda a, b, u, v: [a * u - b * v, b * u + a * v])


def reflect(parameters: Vector, x: Vector) -> Vector:
    """Mirror every pair of coordinates at the line of half the angle of its parameter pair."""
    return _pairwise(parameters, x, lambda a, b, u, v: [a * u + b * v, b * u - a * v])


def _pairwise(parameters: Vector, x: Vector, apply: Callable[[mpf, mpf, mpf, mpf], Vector]) -> Vector:
    result: Vector = []
    for i in range(0, len(x), 2):
        angle = mpmath.atan2(parameters[i + 1], parameters[i])
        result += apply(mpmath.cos(angle), mpmath.sin(angle), x[i], x[i + 1])
    return result
