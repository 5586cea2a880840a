"""The query of every scorer once more, from the papers' formulas, on lists of mpmath numbers; c is the curvature.

A new scorer gets its formula here, under its class name; the contract test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
from mpmath import mpf

from tests.geometry.restatement import Vector, add, dot, expmap0, mobius_add, reflect, rotate, scale


def times(x: Vector, y: Vector) -> Vector:
    return [a * b for a, b in zip(x, y, strict=True)]


def attend(h: Vector, rotation: Vector, reflection: Vector, context: Vector) -> Vector:
    """Σ_i softmax(<a, v_i>/√d) v_i over the reflected and the rotated head (Chami et al. 2020, eq. 9-10)."""
    views = [reflect(reflection, h), rotate(rotation, h)]
    weights = [mpmath.exp(dot(context, view) / mpmath.sqrt(len(h))) for view in views]
    return add(*(scale(weight / sum(weights), view) for weight, view in zip(weights, views, strict=True)))


def hyperbolic_transe(h: Vector, translation: Vector, c: mpf) -> Vector:
    return mobius_add(expmap0(h, c), expmap0(translation, c), c)


def disth(h: Vector, scaling: Vector, c: mpf) -> Vector:
    return times(expmap0(h, c), expmap0(scaling, c))


def roth(h: Vector, before: Vector, rotation: Vector, after: Vector, c: mpf) -> Vector:
    moved = mobius_add(expmap0(h, c), expmap0(before, c), c)
    return mobius_add(rotate(rotation, moved), expmap0(after, c), c)


def refh(h: Vector, reflection: Vector, translation: Vector, c: mpf) -> Vector:
    """As MulDE's code: to the ball first, reflected there."""
    return mobius_add(reflect(reflection, expmap0(h, c)), expmap0(translation, c), c)


def atth(h: Vector, rotation: Vector, reflection: Vector, context: Vector, translation: Vector, c: mpf) -> Vector:
    return mobius_add(expmap0(attend(h, rotation, reflection, context), c), expmap0(translation, c), c)


def euclidean_transe(h: Vector, translation: Vector) -> Vector:
    return add(h, translation)


def diste(h: Vector, scaling: Vector) -> Vector:
    return times(h, scaling)


def rote(h: Vector, rotation: Vector, translation: Vector) -> Vector:
    return add(rotate(rotation, h), translation)


def refe(h: Vector, reflection: Vector, translation: Vector) -> Vector:
    return add(reflect(reflection, h), translation)


def atte(h: Vector, rotation: Vector, reflection: Vector, context: Vector, translation: Vector) -> Vector:
    return add(attend(h, rotation, reflection, context), translation)


QUERIES: dict[str, Callable[..., Vector]] = {
    "HyperbolicTransE": hyperbolic_transe, "DistH": disth, "RotH": roth, "RefH": refh, "AttH": atth,
    "EuclideanTransE": euclidean_transe, "DistE": diste, "RotE": rote, "RefE": refe, "AttE": atte,
}  # fmt: skip
