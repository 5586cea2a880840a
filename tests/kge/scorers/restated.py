"""Queries of scorers restated from the papers' formulas, on lists of mpmath numbers.

A function has the name of its scorer's file, and the contract test finds it by that name. A scorer without one is
tested by the other checks only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import torch
from mpmath import mpf

from mulde.geometry.spaces import Bilinear, Lorentz
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from tests.geometry.restatement import (
    Vector,
    add,
    dot,
    expmap0,
    logmap0,
    mobius_add,
    reflect,
    rotate,
    scale,
    squared_distance,
    vector,
)

Restated = Callable[..., Vector]


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


def complex(h: Vector, factor: Vector) -> Vector:
    halves = (h[::2], h[1::2], factor[::2], factor[1::2])
    pairs = [(a * c - b * d, a * d + b * c) for a, b, c, d in zip(*halves, strict=True)]
    return [part for pair in pairs for part in pair]


def affinee(h: Vector, linear: list[Vector], translation: Vector) -> Vector:
    """h + A h / √d + translation, row by row of A."""
    mixed = [x + dot(row, h) / mpmath.sqrt(len(h)) for x, row in zip(h, linear, strict=True)]
    return add(mixed, translation)


def affineh(h: Vector, linear: list[Vector], translation: Vector, c: mpf) -> Vector:
    nothing = scale(0, h)
    return mobius_add(expmap0(affinee(h, linear, nothing), c), expmap0(translation, c), c)


def restated(scorer: type[Scorer]) -> Restated | None:
    """The function above for a scorer, None where there is none."""
    found: Restated | None = globals().get(scorer.__module__.rpartition(".")[2])
    return found


def scalar_score(model: KGEModel, query: Restated, head: int, relation: int, tail: int) -> tuple[Any, Any]:
    """Score and squared distance of one triple, in 50 digits, from the numbers in the tables."""
    config, hyperbolic = model.config, model.scorer.hyperbolic()
    h, t = vector(model.entity[head]), vector(model.entity[tail])
    parameters = {
        name: [vector(row) for row in table[relation]]
        if model.scorer.relation[name] == "matrix"
        else vector(table[relation])
        for name, table in model.relation.items()
    }
    if hyperbolic:
        curvature = model.curvature(torch.tensor([relation]))
        assert curvature is not None
        c = mpmath.mpf(curvature.reshape(-1)[0].item())
        if config.parametrization == "manifold":
            h = logmap0(h, c)
        else:
            t = expmap0(t, c)
        squared = squared_distance(query(h, **parameters, c=c), t, c)
        if isinstance(model.space, Lorentz):
            squared = 4 * mpmath.sinh(mpmath.sqrt(c * squared) / 2) ** 2 / c
    elif isinstance(model.space, Bilinear):
        squared = -dot(query(h, **parameters), t)  # an inner product, where the others have a distance
    else:
        difference = add(query(h, **parameters), scale(-1, t))
        squared = dot(difference, difference)
    bias = 0.0
    if config.bias != "none":
        bias = mpmath.mpf(model.head_bias[head].item()) + mpmath.mpf(model.tail_bias[tail].item())
    return bias - squared, squared
