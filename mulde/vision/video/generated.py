"""A generated video with drift: labelled objects move over a textured ground, the light changes, scenes are cut.

Every scene has its own colours, ground, sizes and directions, so that a model of one scene is of little use in the
next.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mulde.vision.video.reading import LabelledVideo

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Thing:
    """One object of a scene."""

    kind: int
    """Its class: 1 a disc, 2 a square."""
    radius: float
    place: Floats
    """(2,) row and column at the scene's beginning."""
    speed: Floats
    """(2,) pixels per frame."""
    colour: Floats
    """(3,)"""
    stripes: Floats
    """(2,) wave numbers of its texture."""


def drifting(
    count: int = 600,
    size: int = 96,
    *,
    cuts: Sequence[int] = (200, 400),
    objects: int = 4,
    kinds: int = 2,
    still: bool = False,
    seed: int = 0,
) -> LabelledVideo:
    """`count` frames of size x size with the true class of every pixel.

    Parameters
    ----------
    cuts
        Frames at which a new scene begins.
    kinds
        2 for discs and squares, 1 for objects of either shape.
    still
        If true, nothing moves and the light is constant.
    """
    random = np.random.default_rng(seed)
    images = np.empty((count, size, size, 3), np.uint8)
    labels = np.zeros((count, size, size), np.int64)
    beginnings = [0, *(cut for cut in cuts if cut < count), count]
    for begin, end in itertools.pairwise(beginnings):
        ground = _ground(size, random)
        things = [_thing(size, i % 2 + 1, random) for i in range(objects)]
        light = random.uniform(0, 2 * np.pi)
        for frame in range(begin, end):
            age = 0 if still else frame - begin
            image = ground.copy()
            for thing in things:
                inside, texture = _seen(thing, age, size)
                image[inside] = (thing.colour * texture[..., None])[inside]
                labels[frame][inside] = min(thing.kind, kinds)
            image *= 1 + 0.25 * np.sin(light + age / 40)
            image += random.normal(0, 0.03, image.shape)
            images[frame] = np.clip(255 * image, 0, 255).astype(np.uint8)
    return LabelledVideo(images, labels, kinds + 1, seed)


def _ground(size: int, random: np.random.Generator) -> Floats:
    """A smooth texture between two colours, (size, size, 3)."""
    coarse = random.uniform(0, 1, (7, 7))
    at = np.linspace(0, 5.999, size)
    low, rest = at.astype(int), at % 1
    rows = coarse[low] * (1 - rest)[:, None] + coarse[low + 1] * rest[:, None]  # (size, 7)
    smooth = rows[:, low] * (1 - rest) + rows[:, low + 1] * rest
    first, second = random.uniform(0.1, 0.8, (2, 3))
    return first + (second - first) * smooth[..., None]


def _thing(size: int, kind: int, random: np.random.Generator) -> Thing:
    direction = random.uniform(0, 2 * np.pi)
    return Thing(
        kind,
        random.uniform(0.06, 0.14) * size,
        random.uniform(0.2, 0.8, 2) * size,
        random.uniform(0.4, 1.2) * size / 96 * np.array([np.sin(direction), np.cos(direction)]),
        random.uniform(0.1, 0.9, 3),
        random.uniform(-1, 1, 2),
    )


def _seen(thing: Thing, age: int, size: int) -> tuple[NDArray[np.bool_], Floats]:
    """Mask and brightness (size, size) of the object, which is reflected by the borders."""
    inner = size - 2 * thing.radius
    way = (thing.place - thing.radius + age * thing.speed) % (2 * inner)
    row, column = thing.radius + np.where(way < inner, way, 2 * inner - way)
    y, x = np.arange(size)[:, None] - row, np.arange(size)[None, :] - column
    inside = np.hypot(x, y) < thing.radius if thing.kind == 1 else np.maximum(abs(x), abs(y)) < 0.9 * thing.radius
    texture = 1 + 0.3 * np.sin(thing.stripes[0] * y + thing.stripes[1] * x)
    return inside, texture
